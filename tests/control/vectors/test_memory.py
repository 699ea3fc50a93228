"""What memory is kept for a replica, of its host and of its GPU."""

from __future__ import annotations

from control.specs.collection import CollectionSpec
from control.specs.vector_index import IndexSpec
from control.vectors.devices import workload_of
from control.vectors.memory import DEVICE_BYTES, FIRST_ROWS, bytes_for, device_bytes_for


def spec_of(**index: object) -> CollectionSpec:
    return CollectionSpec(dimension=128, shards=4, index=IndexSpec.model_validate({"device": "gpu", **index}))


def test_a_lease_asks_of_each_device_what_lies_there_and_of_the_hosts_what_all_replicas_take() -> None:
    spec = spec_of(kind="cagra")
    asked = workload_of(spec, 3)
    rows = FIRST_ROWS // 4
    assert asked.devices == 3
    assert asked.device_memory == device_bytes_for(spec, rows)
    assert asked.memory == 3 * bytes_for(spec, rows)


def test_a_segment_fits_on_the_device_beside_those_that_it_is_made_of() -> None:
    raw = 1_000_000 * 128 * 4
    assert device_bytes_for(spec_of(kind="flat"), 1_000_000) == DEVICE_BYTES + 2 * raw
    assert device_bytes_for(spec_of(kind="cagra"), 1_000_000) > DEVICE_BYTES + 2 * (raw + 1_000_000 * 64 * 4)
    assert device_bytes_for(spec_of(kind="hnsw"), 1_000_000) < DEVICE_BYTES + 2 * raw, "it is only built there"
    assert device_bytes_for(spec_of(kind="ivf_pq"), 1_000_000) < DEVICE_BYTES + raw / 10, "codes never go there"
