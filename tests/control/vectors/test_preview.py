"""What a person is told before a collection is made."""

from __future__ import annotations

from control.specs.collection import Collection
from control.vectors.preview import preview


def memory_of(device: str) -> dict[str, tuple[str, ...]]:
    spec = {"dimension": 128, "index": {"kind": "flat", "device": device}}
    collection = Collection.model_validate({"metadata": {"name": "films"}, "spec": spec})
    return {line.name: line.facts for line in preview(collection) if line.part == "memory"}


def test_only_replicas_on_gpus_take_memory_of_one() -> None:
    host = {"each replica": ("of the host", "0.3 GiB with 100,000 rows", "0.7 GiB with 1,000,000 rows")}
    assert memory_of("cpu") == host
    device = "1.1 GiB with 100,000 rows", "2.0 GiB with 1,000,000 rows"
    assert memory_of("gpu") == {**host, "its GPU": ("through the scheduler", *device)}
