"""A process is killed in the middle of taking a snapshot, or of beginning a shard with one: at any of its touches of a
file. The snapshot is then whole or is refused with what is missing, and the shard has all of its rows, or none yet and
begins again: never some.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import IO

import pytest

from actors.vectors import contents, snapshot_place
from actors.vectors.log import Log
from actors.vectors.manifest import has_receipt
from actors.vectors.replication import install
from actors.vectors.replication.disk import Mark
from actors.vectors.shard import Shard
from actors.vectors.snapshot import Snapshot, SnapshotError
from actors.vectors.snapshot_place import SnapshotPlace
from actors.vectors.snapshot_shard import BEGINNING, restore, save
from control.specs.collection import CollectionSpec
from control.specs.vector_filter import EVERYTHING
from tests.fakes.vector_plane import restoring
from tests.fakes.vector_rows import COLUMNS, delete, spec_of, upsert

SEEDS = int(os.environ.get("BIPLANE_CRASH_SEEDS", "5"))
SPEC = spec_of("flat")
ACTOR = "vectors:articles:12345678:0:0"
TOUCHES = frozenset({"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir"})
SNAPSHOT_TOUCHES, RESTORE_TOUCHES = 30, 60
"""About how many there are without a crash: kills are spread over them, and some come too late."""


def kill_after(touches: int, directory: Path) -> None:
    """Of the files in the directory. Every chunk of a file that is copied counts as well."""
    left = touches

    def touched() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, args: tuple[object, ...]) -> None:
        if event in TOUCHES and str(args[0]).startswith(str(directory)):
            touched()

    copied = snapshot_place._copied

    def counted(source: IO[bytes], sink: IO[bytes]) -> tuple[int, int]:
        touched()
        return copied(source, sink)

    snapshot_place._copied = counted
    sys.addaudithook(hear)


def take(directory: Path) -> Snapshot:
    """Of the shard in `directory/shard`, as its replica does, and whoever asked."""
    place = SnapshotPlace(f"file://{directory}/snapshot")
    place.begin("articles", "2026-11-28T12:00:00+00:00", 1)
    shard = Shard.open(directory / "shard", SPEC)
    files = shard.receipts.files()
    copy = save(place, ACTOR, directory / "shard", str(files[-1].relative_to(directory / "shard")))
    snapshot = Snapshot("articles", "2026-11-28T12:00:00+00:00", "0.1.0", SPEC, (copy,))
    place.finish(snapshot)
    shard.receipts.release()
    shard.close()
    return snapshot


def begin(directory: Path, spec: CollectionSpec) -> Shard:
    """As a replica does that starts, whatever a former life left: the shard that it then has."""
    directory.mkdir(exist_ok=True)
    mark, log = Mark(directory), Log.open(directory / "log")
    install.put_in_place(directory, log, mark)
    if not has_receipt(directory / install.SHARD):
        partial = install.begin(directory, install.RESTORED)
        restore(spec, ACTOR, partial)
        install.complete(directory, partial, BEGINNING)
        install.put_in_place(directory, log, mark)
    log.close()
    mark.close()
    return Shard.open(directory / install.SHARD, spec)


def rows_in(shard: Shard) -> list[object]:
    return shard.view.scroll(EVERYTHING, None, 1_000, COLUMNS).to_pylist()  # type: ignore[no-any-return]


def take_and_be_killed(directory: Path, touches: int) -> None:
    kill_after(touches, directory / "snapshot")
    take(directory)


def begin_and_be_killed(directory: Path, spec: CollectionSpec, touches: int) -> None:
    kill_after(touches, directory)
    begin(directory, spec)


def killed(job: object, *words: object) -> bool:
    """Whether it came to that."""
    process = get_context("forkserver").Process(target=job, args=words)  # type: ignore[arg-type]
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    get_context("forkserver").set_forkserver_preload([__name__])


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a shard of sealed, growing and dead rows."""
    monkeypatch.setattr(contents, "SEAL_BYTES", 12 * 20)
    shard = Shard.open(tmp_path / "shard", SPEC)
    rows = [(one, ([float(one), 0.0, 1.0], 2000 + one, "red")) for one in range(50)]
    for seq, start in enumerate(range(0, 50, 10), 1):
        shard.apply([upsert(SPEC, seq, rows[start : start + 10])])
        while shard.maintain():
            pass
    shard.apply([delete(SPEC, 6, [3, 33, 43])])
    shard.flush()
    shard.close()
    return tmp_path


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_snapshot_whose_maker_was_killed_is_whole_or_refused_and_can_be_taken_again(whole: Path, seed: int) -> None:
    place = SnapshotPlace(f"file://{whole}/snapshot")
    touches = Random(seed).randrange(SNAPSHOT_TOUCHES)
    if killed(take_and_be_killed, whole, touches):
        with pytest.raises(SnapshotError, match=r"missing are collection.json|there is no snapshot|cannot be read"):
            place.read()
        take(whole)
    snapshot = place.read()
    assert list(place.missing(snapshot.shards)) == []
    restored = begin(whole / "again", restoring(SPEC, place.url, snapshot.sha256))
    assert rows_in(restored) == rows_in(Shard.open(whole / "shard", SPEC))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_shard_whose_restoring_was_killed_begins_with_all_rows_when_it_starts_again(whole: Path, seed: int) -> None:
    snapshot, url, random = take(whole), f"file://{whole}/snapshot", Random(seed)
    again, spec = whole / "again", restoring(SPEC, url, snapshot.sha256)
    for _ in range(3):
        killed(begin_and_be_killed, again, spec, random.randrange(RESTORE_TOUCHES))
        if has_receipt(again / install.SHARD):
            assert rows_in(Shard.open(again / install.SHARD, spec)) == rows_in(Shard.open(whole / "shard", SPEC))
    restored = begin(again, spec)
    assert restored.degraded == ()
    assert rows_in(restored) == rows_in(Shard.open(whole / "shard", SPEC))
    shutil.rmtree(whole / "snapshot")
    assert rows_in(begin(again, spec)) == rows_in(restored)


def test_kills_come_before_the_end_of_an_undisturbed_snapshot_and_restoring(whole: Path) -> None:
    assert killed(take_and_be_killed, whole, SNAPSHOT_TOUCHES // 2)
    take(whole)
    spec = restoring(SPEC, f"file://{whole}/snapshot", SnapshotPlace(f"file://{whole}/snapshot").read().sha256)
    assert killed(begin_and_be_killed, whole / "again", spec, RESTORE_TOUCHES // 2)
    assert not killed(begin_and_be_killed, whole / "again", spec, 10 * RESTORE_TOUCHES)
