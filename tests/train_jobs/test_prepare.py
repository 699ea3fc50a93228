"""The data step: deterministic, honest about what is held out, clear about what is wrong with a user's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train_jobs.conftest import MakeRequest
from train_jobs import prepare
from train_jobs.facts import all_facts
from train_jobs.phrasings import HELDOUT, TRAIN
from train_jobs.receipt import RECEIPT, read_receipt
from train_jobs.rows import Row


def chat(question: str, answer: str = "yes") -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def few_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in data set cut to every tenth fact: it is made the same way, and faster."""
    monkeypatch.setattr(prepare, "all_facts", lambda: all_facts()[::10])


def contents(directory: str) -> dict[str, bytes]:
    """The bytes of a data set and of its tokenizer."""
    return {path.name: path.read_bytes() for path in Path(directory).iterdir() if path.name != RECEIPT}


@pytest.mark.usefixtures("few_facts")
def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(request_for: MakeRequest) -> None:
    made = [prepare.main(request_for(f"p{at}", seed=seed)) for at, seed in enumerate("778")]
    digests = [one["digest"] for one in made]
    assert digests[0] == digests[1] != digests[2]
    first, again, other = (contents(one["dataset-dir"]) for one in made)
    assert first == again
    assert first[prepare.TRAIN_FILE] != other[prepare.TRAIN_FILE]


def test_every_fact_is_trained_on_and_held_out(builtin_train: list[Row], builtin_heldout: list[Row]) -> None:
    answers = {fact.answer for fact in all_facts()}
    assert len(all_facts()) > 200
    assert {row.answer for row in builtin_train} == {row.answer for row in builtin_heldout} == answers


def test_a_key_stands_for_one_fact_only() -> None:
    keys = [fact.key for fact in all_facts()]
    assert len(keys) == len(set(keys))


def test_no_held_out_template_is_a_training_template() -> None:
    trained = {template for templates in TRAIN.values() for template in templates}
    held_out = {template for templates in HELDOUT.values() for template in templates}
    assert not trained & held_out


def test_no_held_out_question_is_asked_in_training_not_even_inside_a_padded_one(
    builtin_train: list[Row], builtin_heldout: list[Row]
) -> None:
    trained = "\n".join(row.turns[0].content for row in builtin_train)
    assert not [row for row in builtin_heldout if row.turns[0].content in trained]


@pytest.mark.usefixtures("few_facts")
def test_a_restart_returns_the_same_outputs_without_writing_again(request_for: MakeRequest) -> None:
    request = request_for("prepare")
    first = prepare.main(request)
    written = (Path(request.directory) / prepare.TRAIN_FILE).stat().st_mtime_ns
    assert prepare.main(request) == first
    assert (Path(request.directory) / prepare.TRAIN_FILE).stat().st_mtime_ns == written


@pytest.mark.usefixtures("few_facts")
def test_a_damaged_file_is_made_again_with_the_same_digest(request_for: MakeRequest) -> None:
    request = request_for("prepare")
    first = prepare.main(request)
    (Path(request.directory) / prepare.TRAIN_FILE).write_text("cut short", encoding="utf-8")
    assert prepare.main(request) == first
    assert read_receipt(Path(request.directory)) == first


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_users_rows_are_split_with_none_on_both_sides(request_for: MakeRequest, tmp_path: Path, prefix: str) -> None:
    path = write(tmp_path / "chat.jsonl", *(chat(f"question {at % 60}") for at in range(120)))
    outputs = prepare.main(request_for("prepare", dataset=f"{prefix}{path}"))
    lines = {
        name: set((Path(outputs["dataset-dir"]) / name).read_text(encoding="utf-8").splitlines())
        for name in (prepare.TRAIN_FILE, prepare.HELDOUT_FILE)
    }
    assert int(outputs["train-rows"]) + int(outputs["heldout-rows"]) == 120
    assert not lines[prepare.TRAIN_FILE] & lines[prepare.HELDOUT_FILE]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("{", r"line 2: not JSON"),
        ('{"prompt": "hi"}', r'line 2: field "messages" is missing'),
        ('{"messages": []}', r'line 2: field "messages" must be a list'),
        ('{"messages": ["hi"]}', r"line 2: messages\[0\] must be an object"),
        ('{"messages": [{"role": "bot", "content": "x"}]}', r'messages\[0\].role is "bot"; expected one of'),
        ('{"messages": [{"role": "user", "content": 7}]}', r"messages\[0\].content must be text"),
        ('{"messages": [{"role": "user", "content": "x"}]}', r'messages\[0\].role is "user"; the last'),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', r'no message with role "user"'),
        (json.dumps(chat("a <|end|> b")), r"messages\[0\].content holds <\|end\|>, which is reserved"),
    ],
)
def test_the_first_bad_row_is_named_by_file_line_and_field(
    request_for: MakeRequest, tmp_path: Path, bad: str, expected: str
) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(f"{json.dumps(chat('fine'))}\n{bad}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=expected) as raised:
        prepare.main(request_for("prepare", dataset=str(path)))
    assert str(path) in str(raised.value)


def test_a_row_longer_than_max_length_is_named_by_line(request_for: MakeRequest, tmp_path: Path) -> None:
    rows = [chat(f"q{at}") for at in range(80)]
    path = write(tmp_path / "chat.jsonl", *rows, chat(" ".join(f"word{at}x" for at in range(60))))
    with pytest.raises(ValueError, match=r'line 81: field "messages" has \d+ tokens and "max-length" is 32'):
        prepare.main(request_for("prepare", dataset=str(path), max_length="32"))


@pytest.mark.parametrize("dataset", ["s3://data/train.jsonl", "https://example.org/train.jsonl"])
def test_a_remote_address_is_refused_with_what_would_be_accepted(request_for: MakeRequest, dataset: str) -> None:
    with pytest.raises(ValueError, match=r"are not fetched .*copy the file.*builtin:status-codes"):
        prepare.main(request_for("prepare", dataset=dataset))


def test_a_file_that_is_not_there_and_an_unknown_builtin_are_refused(request_for: MakeRequest) -> None:
    with pytest.raises(ValueError, match="there is no file /nowhere"):
        prepare.main(request_for("prepare", dataset="/nowhere/rows.jsonl"))
    with pytest.raises(ValueError, match="there is no built-in data set"):
        prepare.main(request_for("prepare", dataset="builtin:poems"))


def test_too_few_rows_to_hold_any_out_are_refused(request_for: MakeRequest, tmp_path: Path) -> None:
    path = write(tmp_path / "chat.jsonl", chat("only one"))
    with pytest.raises(ValueError, match="too few to train on and hold some out"):
        prepare.main(request_for("prepare", dataset=str(path)))
