"""A node loses power, a disk flips bits, a process is killed while it seals and merges: the shard opens all the same,
has every row that was acknowledged, and says which part of it is damaged instead of answering as if there were none.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest

from actors.vectors import contents
from actors.vectors.entry import Entry
from actors.vectors.log import Log
from actors.vectors.shard import Shard
from control.specs.vector_filter import EVERYTHING
from tests.fakes.fuse import Crash, Fuse
from tests.fakes.vector_rows import COLUMNS, Row, delete, spec_of, upsert

SEEDS = int(os.environ.get("BIPLANE_CRASH_SEEDS", "5"))
SPEC = spec_of("hnsw")
SMALL = 24 * 12
"""Bytes of a growing segment: it is sealed every few entries."""


def ids_and_rows(seed: int, seq: int) -> list[tuple[int | str, Row]]:
    """What entry `seq` writes; every fifth entry deletes these ids instead."""
    random = Random(f"{seed} {seq}")
    return [
        (random.randrange(60), ([float(random.randrange(9)) for _ in range(3)], seq, "red"))
        for _ in range(random.randrange(1, 12))
    ]


def entry(seed: int, seq: int) -> Entry:
    rows = ids_and_rows(seed, seq)
    return delete(SPEC, seq, [one for one, _ in rows]) if seq % 5 == 0 else upsert(SPEC, seq, rows)


def expected(seed: int, last: int) -> dict[int | str, Row]:
    model: dict[int | str, Row] = {}
    for seq in range(1, last + 1):
        rows = ids_and_rows(seed, seq)
        if seq % 5 == 0:
            for one, _ in rows:
                model.pop(one, None)
        else:
            model |= dict(rows)
    return model


def rows_in(shard: Shard) -> dict[int | str, Row]:
    rows = shard.view.scroll(EVERYTHING, None, 1_000, COLUMNS).to_pydict()
    return dict(zip(rows["id"], zip(*(rows[name] for name in COLUMNS), strict=True), strict=True))


def recovered(directory: Path) -> tuple[Shard, Log]:
    log = Log.open(directory / "log")
    shard = Shard.open(directory / "shard", SPEC)
    while entries := log.read(shard.applied.seq):
        shard.apply(entries)
    return shard, log


def live(directory: Path, seed: int) -> None:
    """Writes until it is killed; `acknowledged` grows by a byte for each entry."""
    contents.SEAL_BYTES = SMALL
    shard, log = recovered(directory)

    def maintain() -> None:
        random = Random(seed)
        while True:
            if not shard.maintain():
                time.sleep(0.001)
            if random.random() < 0.05:
                log.cut_before(shard.flush().seq + 1)

    threading.Thread(target=maintain, daemon=True).start()
    with (directory / "acknowledged").open("ab", buffering=0) as acknowledged:
        while True:
            one = entry(seed, log.last.seq + 1)
            log.append([one])
            log.sync()
            shard.apply([one])
            acknowledged.write(b".")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_killed_process_loses_no_acknowledged_write_and_brings_back_nothing(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    for _ in range(2):
        before = acknowledged.stat().st_size
        process = get_context("spawn").Process(target=live, args=(tmp_path, seed), daemon=True)
        process.start()
        deadline = time.monotonic() + 60
        while acknowledged.stat().st_size == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.8))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        shard, log = recovered(tmp_path)
        assert shard.degraded == ()
        assert log.last.seq - acknowledged.stat().st_size in (0, 1)
        assert rows_in(shard) == expected(seed, log.last.seq)
        acknowledged.write_bytes(b"." * log.last.seq)
        shard.close()
        log.close()


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a shard with segments, tombstones, growing rows and a receipt of entry 40."""
    monkeypatch.setattr(contents, "SEAL_BYTES", SMALL)
    shard = Shard.open(tmp_path / "shard", SPEC)
    for seq in range(1, 41):
        shard.apply([entry(0, seq)])
        if seq in (10, 20, 30):
            while shard.maintain():
                pass
    shard.flush()
    for pattern in ("segments/*", "alive-*", "growing-*", "manifest-*"):
        assert list((tmp_path / "shard").glob(pattern)), pattern
    return tmp_path / "shard"


@pytest.mark.parametrize("seed", range(5 * SEEDS))
def test_damage_is_said_and_never_served(settled: Path, seed: int) -> None:
    random = Random(seed)
    path = random.choice(sorted(path for path in settled.rglob("*") if path.is_file()))
    data = bytearray(path.read_bytes())
    match random.choice(["flip", "cut", "gone"]):
        case "flip":
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[: random.randrange(len(data))])
        case "gone":
            path.unlink()
    shard = Shard.open(settled, SPEC)
    model = expected(0, 40)
    left = rows_in(shard)
    assert shard.degraded or path.name.startswith("manifest")
    assert left.items() <= model.items()
    if path.name.startswith("manifest") and not path.exists():
        return  # nothing tells a shard without a receipt from a new one; its log, which begins later, does
    assert shard.degraded
    later = shard.applied.seq + 1
    shard.apply([upsert(SPEC, later, [(100, ([1, 2, 3], None, None)), (0, ([0, 0, 0], 1, None))])])
    shard.flush()
    again = Shard.open(settled, SPEC)
    assert again.degraded == shard.degraded
    assert rows_in(again) == {**left, 100: ([1, 2, 3], None, None), 0: ([0, 0, 0], 1, None)}
    assert path.parent.exists()


@pytest.mark.parametrize("length", range(0, 60, 2))
def test_a_crash_at_any_sync_leaves_the_receipt_before_or_after(
    settled: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    directory = settled.parent
    log = Log.open(directory / "log")
    shard = Shard.open(settled, SPEC)
    log.reset(shard.receipt)
    fuse = Fuse([length])
    real = os.fsync

    def fsync(descriptor: int) -> None:
        fuse.point()
        real(descriptor)

    entries = [entry(0, seq) for seq in range(41, 60)]
    log.append(entries)
    log.sync()
    monkeypatch.setattr(os, "fsync", fsync)
    try:
        for one in entries:
            shard.apply([one])
            shard.maintain()
        shard.flush()
    except Crash:
        pass
    monkeypatch.setattr(os, "fsync", real)
    shutil.copytree(directory, directory / "disk")
    shard.close()
    recovered_shard, _ = recovered(directory / "disk")
    assert recovered_shard.degraded == ()
    assert rows_in(recovered_shard) == expected(0, 59)
