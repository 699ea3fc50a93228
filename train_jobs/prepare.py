"""The data step: makes the training and held-out sets, and the tokenizer trained on the former.

Owns `train.jsonl`, `heldout.jsonl` and the tokenizer's files in the request's directory. Each is written
whole or not at all and `receipt.json` comes last, so a crash at any line leaves a directory that the next
start simply fills again, with the same bytes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from actors.durable import write_atomically
from control.specs.step import StepRequest
from train_jobs.data import encode
from train_jobs.facts import all_facts
from train_jobs.parameters import Parameters
from train_jobs.phrasings import HELDOUT, TRAIN, padded, question
from train_jobs.receipt import finished, write_receipt
from train_jobs.rows import Row, ask, read_rows
from train_jobs.tokens import train_tokenizer

DEFAULTS = {"dataset": "builtin:status-codes", "max-length": "128", "seed": "0"}
BUILTIN = "builtin:status-codes"
TRAIN_FILE, HELDOUT_FILE = "train.jsonl", "heldout.jsonl"
REPEATS = 4  # times each template asks each fact, every time among other random words
HELDOUT_SHARE = 10  # one row in ten of a user's data set is held out


def main(request: StepRequest) -> dict[str, str]:
    """Prepares `dataset`; outputs dataset-dir, train-rows, heldout-rows, digest.

    `digest` is the SHA-256 over both files, in hex. Raises ValueError for a data set that cannot be reached,
    a row that is not in chat format or longer than `max-length` tokens (naming file, line and field), or one
    too small to hold anything out.
    """
    directory = Path(request.directory)
    done = finished(directory)
    if done is not None:
        return done
    parameters = Parameters(request, DEFAULTS)
    dataset, seed = parameters.text("dataset"), parameters.whole("seed")
    if dataset == BUILTIN:
        train, heldout = builtin_rows(seed)
    else:
        train, heldout = split_rows(_local_path(dataset), seed)
    tokenizer = train_tokenizer(turn.content for row in train for turn in row.turns)
    longest = parameters.whole("max-length", least=8)
    for row, example in zip([*train, *heldout], encode([*train, *heldout], tokenizer), strict=True):
        if len(example.ids) > longest:
            raise ValueError(
                f'{row.where or dataset}: field "messages" has {len(example.ids)} tokens and "max-length" is '
                f'{longest}; shorten the row or raise "max-length"'
            )
    tokenizer.save_pretrained(str(directory))
    texts = {TRAIN_FILE: _lines(train), HELDOUT_FILE: _lines(heldout)}
    for name, text in texts.items():
        write_atomically(directory / name, text)
    outputs = {
        "dataset-dir": str(directory),
        "train-rows": str(len(train)),
        "heldout-rows": str(len(heldout)),
        "digest": hashlib.sha256("\x1e".join(texts.values()).encode()).hexdigest(),
    }
    write_receipt(directory, outputs)
    return outputs


def builtin_rows(seed: int) -> tuple[list[Row], list[Row]]:
    """Training rows (padded, shuffled) and held-out rows (bare, in other phrasings) on every built-in
    fact."""
    rng = random.Random(seed)
    train = [
        ask(padded(question(fact, template), rng), fact.answer)
        for fact in all_facts()
        for template in TRAIN[fact.family]
        for _ in range(REPEATS)
    ]
    rng.shuffle(train)
    heldout = [ask(question(fact, template), fact.answer) for fact in all_facts() for template in HELDOUT[fact.family]]
    return train, heldout


def split_rows(path: Path, seed: int) -> tuple[list[Row], list[Row]]:
    """A user's rows, about one in ten held out, chosen by the hash of the row: equal rows never part
    company."""
    train: list[Row] = []
    heldout: list[Row] = []
    for row in read_rows(path):
        drawn = hashlib.sha256(f"{seed} {row.line()}".encode()).digest()
        side = heldout if int.from_bytes(drawn[:8], "big") % HELDOUT_SHARE == 0 else train
        side.append(row)
    if not train or not heldout:
        raise ValueError(
            f"{path} has {len(train) + len(heldout)} rows, too few to train on and hold some out: about 30 is the least"
        )
    return train, heldout


def _local_path(dataset: str) -> Path:
    """The file that `dataset` names; raises ValueError with what would be accepted when it names none
    here."""
    url = urlsplit(dataset)
    accepted = f'"{BUILTIN}", or a path or file:// URL of a JSONL file in chat format'
    if url.scheme == "builtin":
        raise ValueError(f'parameter "dataset": there is no built-in data set "{dataset}"; expected {accepted}')
    if url.scheme not in ("", "file"):
        raise ValueError(
            f'parameter "dataset": {url.scheme}:// addresses are not fetched ("{dataset}"); copy the file to '
            f"where the step runs and give its path; expected {accepted}"
        )
    path = Path(unquote(url.path) if url.scheme == "file" else dataset)
    if not path.is_file():
        raise ValueError(f'parameter "dataset": there is no file {path}; expected {accepted}')
    return path


def _lines(rows: Iterable[Row]) -> str:
    return "".join(f"{row.line()}\n" for row in rows)
