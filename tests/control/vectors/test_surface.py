"""The vectors API runs while there are collections, the embedder while one of them embeds its texts."""

from __future__ import annotations

from control.kernel.ids import EMBEDDER_ACTOR, VECTORS_APP
from control.kernel.plan import EnsureActor, EnsureApp
from control.kernel.present import AppState, AppView
from tests.control.vectors.world import World, collection

EMBEDDING = """\
apiVersion: biplane/v1
kind: Collection
metadata:
  name: texts
spec:
  dimension: 384
  fields:
    - {name: body, type: text}
  embedding: {field: body}
"""


def asked(world: World) -> list[EnsureApp]:
    return [one for one in world.plane.drive.acts if isinstance(one, EnsureApp) and one.app == VECTORS_APP]


def test_the_api_is_asked_for_once_while_there_are_collections_and_ends_with_the_last() -> None:
    world = World(1)
    world.settle()
    assert not asked(world)
    world.plane.apply(collection(replicas=1))
    world.settle()
    [effect] = asked(world)
    assert effect.args == {"internal_key_file": "/keys/internal", "replicas": 2}
    assert VECTORS_APP in world.plane.drive.apps()
    world.plane.delete("Collection", "docs")
    world.settle()
    assert world.plane.drive.apps()[VECTORS_APP].state is AppState.ENDING


def test_an_api_that_failed_makes_room_for_the_next_try() -> None:
    world = World(1, collection(replicas=1))
    world.settle()
    world.plane.drive.serve[VECTORS_APP] = AppView(AppState.FAILED, "no port")
    world.settle()
    assert world.plane.drive.apps()[VECTORS_APP].state is AppState.ENDING
    del world.plane.drive.serve[VECTORS_APP]
    world.settle()
    assert len(asked(world)) == 2


def test_the_embedder_runs_while_a_collection_embeds_its_texts() -> None:
    world = World(1, collection(replicas=1))
    world.settle()
    assert EMBEDDER_ACTOR not in world.plane.drive.actors("")
    world.plane.apply(EMBEDDING)
    world.settle()
    asked = [one for one in world.plane.drive.acts if isinstance(one, EnsureActor) and one.actor == EMBEDDER_ACTOR]
    assert [one.entrypoint for one in asked] == ["actors.embedder:Embedder"]
    world.plane.delete("Collection", "texts")
    world.settle()
    assert EMBEDDER_ACTOR not in world.plane.drive.actors("")


def test_an_embedding_by_a_deployed_model_needs_no_embedder() -> None:
    world = World(1, EMBEDDING.replace("{field: body}", "{model: bge, field: body}"))
    world.settle()
    assert EMBEDDER_ACTOR not in world.plane.drive.actors("")
