"""What clients saw of an event, out of their answers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.bench.serving_load import Answer

SLOW_SECONDS = 1.0
"""No request may wait longer because of a dead replica while another lives."""
Told = dict[str, Any]
"""Figures as JSON."""


def split_after(answers: Sequence[Answer], version: str, decided: float, end: float) -> Told:
    """What clients saw of a step from `decided` to `end`, by when their requests began: seconds to the first answer of
    the version, its percent in the first second, and its percent after that."""
    began = [(answer.began - decided, answer.version == version) for answer in answers if not answer.trouble]
    early = [mine for at, mine in began if 0 <= at < 1]
    late = [mine for at, mine in began if 1 <= at < end - decided]
    firsts = [at for at, mine in began if mine and at >= 0]
    return {
        "first_answer_s": round(min(firsts), 3) if firsts else None,
        "percent_first_second": round(100 * sum(early) / len(early), 1) if early else None,
        "percent_after": round(100 * sum(late) / len(late), 1) if late else None,
        "requests_after": len(late),
    }


def summary(answers: Sequence[Answer], happens: float, over: float) -> Told:
    """Of the requests before an event, and of those that ended after it. `disturbed_s` is until the end of the last one
    that failed, was cut or waited longer than SLOW_SECONDS."""
    before = [answer.first for answer in answers if answer.began + answer.took < happens and not answer.trouble]
    during = [answer for answer in answers if answer.began + answer.took >= happens]
    cut = [answer for answer in during if answer.told]
    failed = [answer for answer in during if answer.trouble and not answer.told]
    slow = [answer for answer in during if answer.first > SLOW_SECONDS]
    ends = [answer.began + answer.took for answer in (*cut, *failed, *slow)]
    return {
        "requests": len(during),
        "failed": len(failed),
        "errors": dict(Counter(answer.trouble for answer in failed).most_common(5)),
        "error_events": len(cut),
        "error_events_told": dict(Counter(answer.trouble for answer in cut).most_common(3)),
        "waited_over_1_s": len(slow),
        "longest_wait_s": round(max((answer.first for answer in during), default=0.0), 3),
        "longest_gap_s": round(max((gap for answer in during for gap in answer.gaps), default=0.0), 3),
        "before_requests": len(before),
        "before_wait_s_p99": round(float(np.percentile(before, 99)), 3) if before else None,
        "disturbed_s": round(max((end - happens for end in ends), default=0.0), 2),
        "recovered_s": round(over - happens, 2),
    }
