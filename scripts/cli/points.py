"""How rows of collections look."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scripts.cli.show import emit, out, progress, table

if TYPE_CHECKING:
    from serve_apps.vectors.client import Found, Hit

_WIDE = 60


def hits(found: Found, *, json: bool) -> None:
    if json:
        results = [[_document(hit) for hit in some] for some in found.results]
        return emit({"results": results, "partial": found.partial, "missing": dict(found.missing)})
    for query, some in enumerate(found.results):
        if len(found.results) > 1:
            out.print(f"[bold]query {query}[/]")
        if not some:
            out.print("No row matches.")
            continue
        names = list(dict.fromkeys(name for hit in some for name in hit.metadata))
        rows = ((hit.id, f"{hit.score:.6g}", *_cells(hit.metadata, names)) for hit in some)
        table(("ID", "SCORE", *(name.upper() for name in names)), rows)
    for shard, why in found.missing.items():
        progress.print(f"[yellow]shard {shard} is missing[/] {why}")
    return None


def listed(found: Iterable[Mapping[str, Any]], *, json: bool) -> None:
    """Points as the API answers them."""
    found = list(found)
    if json:
        return emit({"points": found})
    if not found:
        return out.print("No row matches.")
    names = list(dict.fromkeys(name for one in found for name in one.get("metadata", {})))
    vectors = ("VECTOR",) if any("vector" in one for one in found) else ()
    rows = (
        (one["id"], *_cells(one.get("metadata", {}), names), *([_short(one.get("vector"))] if vectors else []))
        for one in found
    )
    return table(("ID", *(name.upper() for name in names), *vectors), rows)


def _document(hit: Hit) -> dict[str, Any]:
    vector = {} if hit.vector is None else {"vector": hit.vector}
    return {"id": hit.id, "score": hit.score, "metadata": dict(hit.metadata), **vector}


def _cells(metadata: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [_short(metadata.get(name)) for name in names]


def _short(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else jsonlib.dumps(value)
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
