"""How much a stream unpacks to, held against what pyarrow unpacks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from serve_apps.vectors.arrow_batch import MOST_BYTES
from serve_apps.vectors.arrow_size import unpacked
from tests.serve_apps.vectors.api import run
from tests.serve_apps.vectors.test_arrow_batch import send

ROWS = 1_000
TABLE = pa.table(
    {
        "id": [str(row) for row in range(ROWS)],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(ROWS * 64, np.float32)), 64),
        "title": pa.array(["one", "two"] * (ROWS // 2)).dictionary_encode(),
        "seen": [True, None] * (ROWS // 2),
    }
)


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=300)
    body: bytes = sink.getvalue().to_pybytes()
    return body


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_it_is_what_the_buffers_take(compression: str | None) -> None:
    assert unpacked(stream(TABLE, compression)) == pytest.approx(TABLE.nbytes, rel=0.02)


def test_a_small_body_that_would_fill_the_memory_is_refused_unopened() -> None:
    async def story() -> None:
        count = MOST_BYTES // 4 // 1_000 + 1
        lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(count * 1_000, np.float32)), count)
        body = stream(pa.table({"id": [str(row) for row in range(1_000)], "vector": lists}), "zstd")
        assert len(body) < MOST_BYTES / 1_000
        before = pa.default_memory_pool().max_memory()
        _, status, told = await send(body)
        assert (status, told["error"]["param"]) == (400, "the stream")
        assert "bytes when unpacked; expected at most 268435456" in told["error"]["message"]
        assert pa.default_memory_pool().max_memory() == before

    run(story())


def test_a_header_that_is_cut_or_leads_astray_is_the_client_s_fault() -> None:
    async def story() -> None:
        table = pa.table({"id": ["a"], "vector": [[1.0, 2.0]], "title": pa.array(["x"]).dictionary_encode()})
        whole = stream(table, "zstd")
        for place in range(0, len(whole), 20):
            _, cut, _ = await send(whole[:place])
            assert cut == 400 or place > len(whole) - 16, f"{place}: the end may be missing"
            for astray in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff"):
                _, status, told = await send(whole[:place] + astray + whole[place + 4 :])
                assert status in (200, 400), (place, told)

    run(story())
