"""What of a collection may change, and what is refused with its line and the nearest choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control.checks import Surroundings, check_documents
from control.checks_collection import Known
from control.pipeline.templates import BUILTIN
from control.scheduler.state import Rules
from control.specs.collection import Collection, CollectionSpec
from control.specs.deployment import Deployment
from control.specs.document import Document
from control.specs.load import load_file, load_text
from control.specs.problem import SpecError
from tests.control.router.world import deployment
from tests.control.scheduler.world import node
from tests.control.specs.samples import broken

EXAMPLE = (Path(__file__).parents[2] / "examples" / "collection.yaml").read_text()
RESTORED = broken(EXAMPLE, "shards: 2", "shards: 2\n  restore: {url: s3://bucket/one, sha256: " + "a" * 64 + "}")
EMBEDS = "embedding: {field: body}", "embedding: {field: body, model: chatt}"


def documents(text: str) -> list[Document]:
    return load_text(text, "mine.yaml")


def spec_of(text: str) -> CollectionSpec:
    (document,) = documents(text)
    assert isinstance(document.spec, Collection)
    return document.spec.spec


def around(text: str = EXAMPLE, *nodes: int, status: Mapping[str, Any] | None = None) -> Surroundings:
    """A plane that has the collection of `text`, and what vectors control said of it."""
    known = tuple(node(f"n{index}", count) for index, count in enumerate(nodes))
    stored = Known(spec_of(text), status or {})
    return Surroundings(True, BUILTIN, known, Rules({"critical-inference": 100}), collections={"articles": stored})


def refused(text: str, surroundings: Surroundings) -> list[str]:
    with pytest.raises(SpecError) as caught:
        check_documents(documents(text), surroundings)
    return [str(problem) for problem in caught.value.problems]


def test_the_example_is_right() -> None:
    (document,) = load_file(Path(__file__).parents[2] / "examples" / "collection.yaml")
    assert check_documents([document], around()) == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("dimension: 384", "dimension: 128", "mine.yaml:9: spec.dimension: dimension 384 → 128"),
        ("metric: cosine", "metric: l2", "mine.yaml:10: spec.metric: metric cosine → l2"),
        ("ids: string", "ids: integer", "mine.yaml:11: spec.ids: ids string → integer"),
        (
            "{name: year, type: integer}",
            "{name: year, type: float}",
            "mine.yaml:15: spec.fields[year].type: type of field 'year': 'integer' → 'float'",
        ),
        (
            "type: keyword, many: true",
            "type: keyword, many: false",
            "mine.yaml:16: spec.fields[tags].many: many of field 'tags': true → false",
        ),
        ("kind: auto, ", "device: gpu, ", "mine.yaml:20: spec.index.device: device cpu → gpu"),
        ("field: body}", "field: title}", "mine.yaml:21: spec.embedding.field: embedding field body → title"),
    ],
)
def test_what_rows_are_made_of_cannot_change(old: str, new: str, told: str) -> None:
    text = broken(EXAMPLE, old, new)
    if "dimension" in old:  # what embeds has its own
        text, before = (broken(one, "  embedding: {field: body}", "  #") for one in (text, EXAMPLE))
        found = refused(text, around(before))
    else:
        found = refused(text, around())
    assert found[0] == f"{told} of a collection that is there; expected what it was, or another collection"


@pytest.mark.parametrize("text", [EXAMPLE, RESTORED.replace("a" * 64, "b" * 64)])
def test_what_rows_a_collection_began_with_cannot_change(text: str) -> None:
    (found,) = refused(text, around(RESTORED))
    assert "spec.restore: a collection that is there begins with no other rows than it began with" in found


@pytest.mark.parametrize(
    ("restore", "told"),
    [
        ("{url: s3://me:secret@bucket/x, sha256: " + "a" * 64 + "}", "they come from the environment of the plane"),
        ("{url: snapshots/one, sha256: " + "a" * 64 + "}", "expected a URL, such as s3://bucket/path"),
        ("{url: file:one, sha256: " + "a" * 64 + "}", "an absolute path, as in file:///path"),
        ("{url: s3://bucket/x, sha256: abc}", "the 64 hexadecimal digits that `biplane vectors snapshot` shows"),
    ],
)
def test_where_a_collection_is_restored_from_is_a_url_without_secrets(restore: str, told: str) -> None:
    with pytest.raises(SpecError, match=r"spec\.restore") as caught:
        documents(broken(EXAMPLE, "shards: 2", f"shards: 2\n  restore: {restore}"))
    assert told in str(caught.value)


FOUR = broken(EXAMPLE, "shards: 2", "shards: 4")
TWO = {"phase": "Moving", "reason": "new shard 2: has copied about 40 %", "shards": [{}, {}]}
"""As vectors control says it while two shards serve."""


def test_what_another_number_of_shards_means_is_told() -> None:
    (told,) = check_documents(documents(FOUR), around())
    assert str(told) == (
        "mine.yaml:17: spec.shards: 2 → 4: every row is copied into new shards while the old ones serve, then writes "
        "wait for about a second. Until then both take memory and disk; shards: 2 undoes it"
    )


def test_a_move_that_goes_on_can_be_waited_for_or_undone_and_nothing_else() -> None:
    moving = around(FOUR, status=TWO)
    assert check_documents(documents(FOUR), moving) == ()
    (told,) = check_documents(documents(EXAMPLE), moving)
    assert "spec.shards: the move to 4 shards is undone: 2 serve on" in str(told)
    (found,) = refused(broken(EXAMPLE, "shards: 2", "shards: 3"), moving)
    assert found == (
        "mine.yaml:17: spec.shards: 3 shards, while rows move from 2 to 4: new shard 2: has copied about 40 %; "
        "expected 4 until they have, or 2 to undo it"
    )


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (FOUR, {"phase": "Rebuilding", "reason": "3 of 6 replicas build indexes anew", "shards": [{}, {}]}),
        (broken(FOUR, "kind: auto, target_recall: 0.99", "kind: hnsw, m: 32"), {}),
    ],
)
def test_the_number_of_shards_does_not_change_while_indexes_are_built_anew(text: str, status: dict[str, Any]) -> None:
    (found,) = refused(text, around(status=status))
    assert "spec.shards: shards 2 → 4 while indexes are built anew" in found
    assert "expected 2 until they are" in found


def test_a_field_that_is_missing_is_refused_with_what_it_may_be_called_now() -> None:
    (found,) = refused(broken(EXAMPLE, "name: year", "name: years"), around())
    assert "field 'year' is missing: rows have it, and filters may use it; did you mean 'years'?" in found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("replicas: 3", "replicas: 1"),
        ("acknowledge: quorum", "acknowledge: all"),
        ("kind: auto, target_recall: 0.99", "kind: hnsw, m: 32"),
        ("    - {name: year", "    - {name: place, type: geo}\n    - {name: year"),
        ("type: integer}", "type: integer, index: false}"),
    ],
)
def test_what_replicas_do_may_change(old: str, new: str) -> None:
    assert check_documents(documents(broken(EXAMPLE, old, new)), around()) == ()


def test_a_model_that_nobody_deploys_is_refused_with_the_nearest_one() -> None:
    chat = Deployment.model_validate(documents(deployment())[0].raw)
    surroundings = replace(around(), deployments=(chat,), collections={})
    (found,) = refused(broken(EXAMPLE, *EMBEDS), surroundings)
    assert found == ("mine.yaml:21: spec.embedding.model: no deployment is called 'chatt'; did you mean 'chat'?")
    assert (
        check_documents(documents(broken(EXAMPLE, "{field: body}", "{field: body, model: chat}")), surroundings) == ()
    )


def test_replicas_that_share_a_node_are_told_of() -> None:
    (warning,) = check_documents(documents(EXAMPLE), around(EXAMPLE, 0, 0))
    assert "3 replicas on 2 node(s): some share a node" in str(warning)
    (warning,) = check_documents(documents(broken(EXAMPLE, "replicas: 3", "replicas: 2")), around(EXAMPLE, 0, 0))
    assert "of 2 replicas both are a quorum" in str(warning)


def test_a_replica_that_no_node_has_the_memory_for_is_refused() -> None:
    small = replace(node("n0", 0), memory=100 << 20)
    surroundings = replace(around(), nodes=(small,))
    (found,) = refused(EXAMPLE, surroundings)
    assert "a replica takes about 0.3 GiB with 50,000 rows; the largest node, n0, has 0.1 GiB" in found


def test_replicas_on_gpus_that_there_are_not_are_refused_as_for_any_workload() -> None:
    text = broken(EXAMPLE, "kind: auto, ", "device: gpu, ")
    (found,) = refused(text, around(text, 4))
    assert found.startswith("mine.yaml:20: spec.index.device: 6 device(s) and")
    assert check_documents(documents(text), around(text, 8)) != ()
