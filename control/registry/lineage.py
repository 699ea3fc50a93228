"""What is taken over from MLflow about a version: where it comes from and how good it is. Pure.

Sizes are bounded: a version is read in every listing, and MLflow lets anybody write 100 kB into one tag.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from control.registry.state import Gate, Registration, Run

STAGE_TAG, DEPLOYMENT_TAG, REASON_TAG = "biplane.stage", "biplane.deployment", "biplane.reason"
MIRRORED = (STAGE_TAG, DEPLOYMENT_TAG, REASON_TAG)
"""The tags by which MLflow shows our record; they are written, never read as facts."""
GATE_TAG = "biplane.gate"
"""`passed`, or `failed: why`; anything else is no verdict."""
BYTES_TAG, FILES_TAG, DIGEST_TAG = "biplane.bytes", "biplane.files", "weights-sha256"
DATASET_TAG, BASE_TAG, ACCURACY_TAG = "dataset-digest", "biplane.base-model", "accuracy"
MOST_ENTRIES = 100
LONGEST = 500
LONGEST_LIST = 20_000
"""Characters of the list of files: about 200 of them."""


def spec_of(version: Registration, run: Run | None) -> dict[str, Any]:
    """The spec of a ModelVersion. Mappings hold MOST_ENTRIES entries at most (the first by name), texts LONGEST
    characters. `registered_at` in seconds since the epoch."""
    tags = version.tags
    parameters = run.parameters if run else {}
    run_tags = run.tags if run else {}
    return {
        "model": version.model,
        "version": version.version,
        "run_id": version.run_id,
        "source": version.source,
        "registered_at": version.created_ms / 1000,
        "registered_by": _short(version.by or (run.by if run else "")),
        "tags": _bounded({name: value for name, value in tags.items() if name not in (*MIRRORED, FILES_TAG)}),
        "lineage": {
            "dataset_digest": _short(tags.get(DATASET_TAG) or run_tags.get("biplane.dataset-digest", "")),
            "base_model": _short(tags.get(BASE_TAG) or parameters.get("base-model", "")),
            "workflow_run": _short(run_tags.get("biplane.run", "")),
            "weights_sha256": _short(tags.get(DIGEST_TAG, "")),
        },
        "parameters": _bounded(parameters),
        "metrics": dict(sorted(_metrics(version, run).items())[:MOST_ENTRIES]),
        "size": {"bytes": _whole(tags.get(BYTES_TAG)), "files": tags.get(FILES_TAG, "")[:LONGEST_LIST]},
        "gate": _gate(tags.get(GATE_TAG, "")),
    }


def _metrics(version: Registration, run: Run | None) -> dict[str, float | str]:
    """Figures of the run, and the accuracy that the version was registered with. JSON has no NaN: those are text."""
    found: dict[str, float | str] = dict(run.metrics) if run else {}
    try:
        found["accuracy"] = float(version.tags[ACCURACY_TAG])
    except (KeyError, ValueError):
        if "heldout_accuracy" in found:
            found.setdefault("accuracy", found["heldout_accuracy"])
    return {
        name[:LONGEST]: value if isinstance(value, str) or math.isfinite(value) else str(value)
        for name, value in found.items()
    }


def _gate(text: str) -> dict[str, str]:
    word, _, reason = text.partition(":")
    verdicts = {verdict.value: verdict for verdict in (Gate.PASSED, Gate.FAILED)}
    return {"state": verdicts.get(word.strip().lower(), Gate.NONE).value, "reason": _short(reason.strip())}


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _bounded(found: Mapping[str, str]) -> dict[str, str]:
    return {_short(name): _short(value) for name, value in sorted(found.items())[:MOST_ENTRIES]}


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
