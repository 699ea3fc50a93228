"""`index:` of a Collection: which structure searches its sealed segments, with which parameters."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from control.specs.base import Spec
from control.specs.problem import one_of, refuse

IndexKind = Literal["auto", "flat", "hnsw", "ivf_flat", "ivf_pq", "cagra"]
Device = Literal["cpu", "gpu"]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]

PARAMETERS: dict[IndexKind, frozenset[str]] = {
    "auto": frozenset({"target_recall"}),
    "flat": frozenset(),
    "hnsw": frozenset({"m", "ef_construction", "ef_search", "target_recall"}),
    "ivf_flat": frozenset({"nlist", "nprobe", "target_recall"}),
    "ivf_pq": frozenset({"nlist", "nprobe", "subvectors", "bits", "rerank", "target_recall"}),
    "cagra": frozenset({"graph_degree", "target_recall"}),
}
"""The parameters that have an effect on each kind."""
SEARCH_PARAMETERS = frozenset({"ef_search", "nprobe", "rerank", "target_recall"})
"""Those that change at once, without building anything anew."""


class IndexSpec(Spec):
    """What is left out is chosen by the size of each segment and `target_recall` (recall@10, 0 to 1).

    `auto` chooses the kind by size, memory and device, and says why. HNSW: `m` links a node and level (twice as many
    on the lowest), `ef_construction` and `ef_search` candidates. IVF: `nlist` lists, of which `nprobe` are scanned.
    PQ: a vector is `subvectors` codes of `bits`, and `rerank` times k of the nearest are measured again on the raw
    vectors. CAGRA (a GPU with cuVS): `graph_degree` links a node.

    With `device` gpu each replica has a GPU. It builds what it can of any index (with cuVS the graph of HNSW, without
    `ef_construction`; of IVF and PQ the lists), and searches flat, ivf_flat and cagra; hnsw and ivf_pq are searched on
    the CPU.
    """

    kind: IndexKind = "auto"
    device: Device = "cpu"
    m: Annotated[int, Field(ge=2, le=128)] | None = None
    ef_construction: Positive | None = None
    ef_search: Positive | None = None
    nlist: Positive | None = None
    nprobe: Positive | None = None
    subvectors: Positive | None = None
    bits: Annotated[int, Field(ge=4, le=12)] | None = None
    rerank: Positive | None = None
    graph_degree: Annotated[int, Field(ge=4, le=512)] | None = None
    target_recall: Annotated[float, Field(gt=0.5, lt=1)] = 0.99

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        allowed = PARAMETERS[self.kind]
        # As it is stored every parameter is given, most of them as what they are when they are not.
        given = {name for name, known in type(self).model_fields.items() if getattr(self, name) != known.default}
        for name in sorted(given - {"kind", "device"} - allowed):
            found = f"{name} has no effect on kind {self.kind}"
            raise refuse(found, one_of(sorted(allowed), "no parameters"), at=(name,), also=("kind",))
        if self.kind == "cagra" and self.device == "cpu":
            raise refuse("cagra on device cpu", "device gpu: CAGRA is built and searched on a GPU", at=("device",))
        if self.nlist is not None and self.nprobe is not None and self.nprobe > self.nlist:
            found = f"nprobe {self.nprobe} of {self.nlist} lists"
            raise refuse(found, f"1 to {self.nlist}", at=("nprobe",), also=("nlist",))
        return self


def divisor(dimension: int, wanted: float) -> int:
    """The divisor of the dimension that is nearest to the wanted number, as a ratio."""
    divisors = [one for one in range(1, dimension + 1) if dimension % one == 0]
    return min(divisors, key=lambda one: abs(math.log(one / wanted)))
