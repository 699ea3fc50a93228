"""`biplane vectors …`: collections as people make, see and delete them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from control.kernel.home import HOME_VARIABLE
from control.vector_report import VectorReport, document
from scripts.cli.app import BAD_INPUT, NO_PLANE, NOT_FOUND, app
from scripts.cli.vectors import complete, vectors
from tests.control.vectors.world import node
from tests.fakes.home import started
from tests.fakes.plane import Plane

CREATE = ("create", "articles", "--dimension", "8", "--field", "year:integer", "--field", "tags:keyword[]!")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "220")
    return tmp_path / "home"


@pytest.fixture
def plane(home: Path) -> Plane:
    plane = started(home)
    plane.drive.alive_nodes = [node("n0"), node("n1")]
    return plane


def biplane(*words: str, code: int = 0, typed: str = "") -> Result:
    result = CliRunner().invoke(vectors, words, input=typed)
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


def one(*words: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(biplane(*words, "--json", code=code).stdout)
    return found


def serve(plane: Plane, rows: int = 1234) -> str:
    """Its replicas live, and tell what they have; returns the leader."""
    for _ in range(10):
        plane.turn("vectors")
        plane.drive.collections.replicate()
    (table,) = [o.spec["articles"] for o in plane.store.list("Table") if o.name == "vectors"]
    leader: str = table["shards"][0]["leader"]
    for number, actor in enumerate(table["shards"][0]["members"]):
        behind = 0 if actor == leader else 3
        report = VectorReport(rows=rows - behind, segments=2 + number, leads=actor == leader, behind=behind)
        plane.store.beat(actor, document(report), now=time.time())
    return leader


def test_what_is_made_by_options_is_what_a_file_would_say(plane: Plane) -> None:
    made = one(*CREATE, "--replicas", "2", "--metric", "l2")
    assert made["applied"] == [{"kind": "Collection", "name": "articles", "outcome": "created"}]
    spec = plane.only("Collection").spec["spec"]
    assert (spec["dimension"], spec["metric"], spec["replicas"], spec["acknowledge"]) == (8, "l2", 2, "quorum")
    assert spec["fields"] == [
        {"name": "year", "type": "integer", "many": False, "index": True},
        {"name": "tags", "type": "keyword", "many": True, "index": False},
    ]


def test_what_embeds_text_has_the_dimension_of_its_model(plane: Plane) -> None:
    one("create", "articles", "--field", "body:text", "--embed", "body")
    assert plane.only("Collection").spec["spec"]["dimension"] == 384


def test_a_mistake_is_told_as_in_a_file(plane: Plane) -> None:
    told = biplane("create", "articles", "--dimension", "8", "--field", "year:intger", code=BAD_INPUT).stderr
    assert "did you mean 'integer'?" in told
    assert "spec.dimension: required field is missing" in biplane("create", "articles", code=BAD_INPUT).stderr
    assert not plane.store.list("Collection")


def test_a_dry_run_says_what_it_would_come_to_and_makes_nothing(plane: Plane) -> None:
    would = one(*CREATE, "--shards", "2", "--replicas", "3", "--dry-run")["previews"][0]["lines"]
    assert "2 shards × 3 replicas = 6 processes" in would[0]["facts"]
    parts = {(line["part"], line["name"]): line["facts"] for line in would}
    assert parts["index", "segment of 1,000"][0] == "flat"
    assert parts["memory", "each replica"][1] == "0.3 GiB with 100,000 rows"
    assert not plane.store.list("Collection")


def test_a_name_that_is_taken_is_refused(plane: Plane) -> None:
    biplane(*CREATE)
    assert "there is a collection 'articles' already" in biplane(*CREATE, code=BAD_INPUT).stderr


def test_list_and_describe_show_rows_leaders_and_replicas(plane: Plane) -> None:
    assert "No collection; make one with" in biplane("list").stdout
    biplane(*CREATE, "--replicas", "2")
    leader = serve(plane)
    (row,) = one("list")["collections"]
    assert (row["phase"], row["rows"]) == ("Ready", 1234)
    assert "1,234" in biplane("list").stdout
    (shown,) = [line for line in CliRunner().invoke(app, ["status"]).stdout.splitlines() if "Collection" in line]
    assert "articles" in shown
    assert "Ready" in shown
    found = one("describe", "articles")
    (shard,) = found["shards"]
    assert f":{shard['leader']}" == leader[-2:]
    assert [replica["report"]["behind"] for replica in shard["replicas"]] == [0, 3]
    shown = biplane("describe", "collection/articles").stdout
    assert "leads" in shown
    assert "follows" in shown
    assert "n1" in shown


def test_how_far_a_move_is_can_be_seen(plane: Plane) -> None:
    biplane(*CREATE)
    serve(plane)
    spec = plane.only("Collection").spec
    plane.apply(json.dumps({**spec, "spec": {**spec["spec"], "shards": 2}}))
    plane.drive.collections.unreachable.update(plane.drive.collections.processes)
    serve(plane)
    (new, _) = one("describe", "articles")["move"]
    actor = next(actor for actor in plane.drive.collections.processes if f":{new['shard']}:" in actor)
    plane.store.beat(actor, document(VectorReport(rows=500, copied=0.4, uncopied=1200)), now=time.time())
    assert [shard["rows"] for shard in one("describe", "articles")["shards"]] == [1234]  # those that serve
    shown = " ".join(biplane("describe", "articles").stdout.split())
    assert "articles Moving: rows move from 1 shard to 2" in shown
    assert "copied 40%" in shown


def test_a_replica_that_says_nothing_any_more_has_no_figures(plane: Plane) -> None:
    biplane(*CREATE)
    leader = serve(plane)
    plane.store.beat(leader, document(VectorReport(rows=5)), now=time.time() - 60.0)
    (shard,) = one("describe", "articles")["shards"]
    assert shard["replicas"][0]["report"] is None
    assert shard["rows"] == 0


def test_nothing_is_deleted_without_a_yes(plane: Plane) -> None:
    biplane(*CREATE)
    serve(plane)
    assert "Delete articles with its 1,234 rows?" in biplane("delete", "articles", typed="n\n", code=1).stderr
    assert one("delete", "articles", "--dry-run")["dry_run"] is True
    assert plane.store.list("Collection")
    biplane("delete", "articles", "--yes")
    assert not plane.store.list("Collection")


def test_an_unknown_name_gets_the_nearest_one(plane: Plane) -> None:
    biplane(*CREATE)
    assert "did you mean 'articles'?" in biplane("describe", "article", code=NOT_FOUND).stderr
    assert complete("ar") == ["articles"]
    assert complete("b") == []


def test_without_a_plane_every_command_says_so() -> None:
    assert complete("a") == []
    for words in (("list",), ("describe", "a"), ("delete", "a", "--yes"), CREATE):
        assert "no plane was started" in biplane(*words, code=NO_PLANE).stderr


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in vectors.registered_commands if c.callback])
def test_every_command_has_help_with_an_example(command: str) -> None:
    assert "Example: " in biplane(command, "--help").stdout
