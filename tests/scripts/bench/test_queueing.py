"""The queueing bench, on a small trace of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scripts.bench import queueing

LINE = "Transformer (batch size 128)\tcommand\t-step\t1\t{steps}\t{at}\t{devices}\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "small.trace"
    jobs = [(200_000 + 90_000 * (i % 5), 600.0 * i, (1, 2, 4, 8)[i % 4]) for i in range(40)]
    file.write_text("".join(LINE.format(steps=steps, at=at, devices=devices) for steps, at, devices in jobs))
    return file


def test_it_prints_one_object_a_trace_with_every_policy(
    trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["queueing", "--trace", str(trace), "--json"])
    queueing.main()
    found = json.loads(capsys.readouterr().out)
    assert found["trace"] == "small"
    assert 0.8 < found["load"] < 1.0
    assert {"biplane", "fifo"} < set(found["policy"])
    for figures in found["policy"].values():
        assert {"jct_mean_s", "jct_p99_s", "wait_max_s", "utilisation_pct"} < set(figures)
        assert (figures["finished"], figures["over_bound"]) == (40, 0)
