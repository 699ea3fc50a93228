"""Which index a segment gets, and why."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from control.specs.collection import CollectionSpec
from control.specs.index_choice import FLAT_ROWS, choose
from control.specs.index_plan import bytes_of
from control.specs.vector_index import IndexKind, IndexSpec, divisor


def spec_of(kind: IndexKind = "auto", **parameters: object) -> CollectionSpec:
    return CollectionSpec(dimension=128, index=IndexSpec.model_validate({"kind": kind, **parameters}))


@pytest.mark.parametrize("kind", ["auto", "hnsw", "ivf_flat", "ivf_pq"])
def test_a_small_segment_is_flat_whatever_the_collection_asks_for(kind: IndexKind) -> None:
    plan = choose(FLAT_ROWS, spec_of(kind))
    assert plan.kind == "flat"
    assert "2,000 rows are scanned" in plan.reason


def test_auto_is_hnsw_where_it_fits_in_memory_and_codes_where_it_does_not() -> None:
    assert choose(1_000_000, spec_of()).kind == "hnsw"
    need = bytes_of(choose(1_000_000, spec_of()), 1_000_000, 128).host
    assert choose(1_000_000, spec_of(), memory=need).kind == "hnsw"
    short = choose(1_000_000, spec_of(), memory=need - 1)
    assert short.kind == "ivf_pq"
    assert f"{need:,} bytes" in short.reason
    assert bytes_of(short, 1_000_000, 128).host < need / 8


def test_auto_on_a_gpu_scans_what_it_can_and_then_takes_what_is_installed() -> None:
    assert choose(100_000, spec_of(device="gpu")).kind == "flat"
    assert choose(1_000_000, spec_of(device="gpu")).kind == "ivf_flat"
    assert choose(1_000_000, spec_of(device="gpu"), cuvs=True).kind == "cagra"


def test_cagra_without_cuvs_is_ivf_and_says_so() -> None:
    plan = choose(1_000_000, spec_of("cagra", device="gpu"))
    assert plan.kind == "ivf_flat"
    assert "cuVS" in plan.reason
    assert choose(1_000_000, spec_of("cagra", device="gpu", graph_degree=32), cuvs=True).graph_degree == 32


def test_the_collection_s_parameters_are_taken_as_far_as_the_rows_go() -> None:
    assert choose(1_000_000, spec_of("hnsw", m=24, ef_construction=300)).m == 24
    assert choose(1_000_000, spec_of("hnsw")).m == 16
    products = CollectionSpec(dimension=128, metric="ip")
    assert choose(1_000_000, products).m == 32, "long vectors attract links"
    assert choose(1_000_000, spec_of("ivf_flat")).nlist == 4_000
    assert choose(3_900, spec_of("ivf_flat", nlist=5_000)).nlist == 100, "a list of fewer than 39 rows is none"
    assert choose(3_900, spec_of("ivf_pq", bits=12, subvectors=16)).bits == 11, "a code book has at most 3,900 entries"


@pytest.mark.parametrize(("dimension", "wanted", "found"), [(128, 64, 64), (100, 48, 50), (97, 48, 97), (1, 0.5, 1)])
def test_subvectors_divide_the_dimension(dimension: int, wanted: float, found: int) -> None:
    assert divisor(dimension, wanted) == found


def test_subvectors_that_do_not_divide_the_dimension_are_refused_with_the_nearest_that_do() -> None:
    with pytest.raises(ValidationError, match="7 subvectors; expected a divisor of dimension 128, such as 8"):
        spec_of("ivf_pq", subvectors=7)
