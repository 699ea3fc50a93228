"""A machine that is gone from one moment to the next: none of its connections is closed, and nothing comes any more."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

import pytest

from serve_apps.gateway.wire import Wire, Wires, locate

NAMESPACE, OUTER, INNER = f"bp{os.getpid()}", f"bpo{os.getpid()}"[:15], f"bpi{os.getpid()}"[:15]
HERE, THERE = "10.213.77.1", "10.213.77.2"
ENGINE = f"""\
import asyncio
async def serve(reader, writer):
    while head := await reader.readuntil(b"\\r\\n\\r\\n"):
        writer.write(b"HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n2\\r\\nok\\r\\n")
        if b"/whole" in head:
            writer.write(b"0\\r\\n\\r\\n")
async def main():
    await (await asyncio.start_server(serve, "{THERE}", 9000)).serve_forever()
asyncio.run(main())
"""


def ip(words: str, inside: bool = False) -> None:
    where = f"ip netns exec {NAMESPACE} " if inside else ""
    subprocess.run(f"{where}ip {words}".split(), check=True, capture_output=True)


@pytest.fixture
def machine() -> Iterator[None]:
    """A network namespace with an engine in it, which `vanish` cuts off."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    try:
        ip(f"netns add {NAMESPACE}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    engine = None
    try:
        ip(f"link add {OUTER} type veth peer name {INNER} netns {NAMESPACE}")
        ip(f"addr add {HERE}/30 dev {OUTER}")
        ip(f"link set {OUTER} up")
        ip(f"addr add {THERE}/30 dev {INNER}", inside=True)
        ip(f"link set {INNER} up", inside=True)
        engine = subprocess.Popen(["ip", "netns", "exec", NAMESPACE, sys.executable, "-c", ENGINE])
        yield
    finally:
        if engine is not None:
            engine.kill()
            engine.wait()
        subprocess.run(["ip", "link", "del", OUTER], capture_output=True)  # the namespace lives on with its sockets
        ip(f"netns del {NAMESPACE}")


def vanish() -> None:
    """It hears us, and nothing of it reaches us: as if it did not hear us."""
    ip(f"route add blackhole {HERE}/32", inside=True)


async def asked(wires: Wires, path: str) -> Wire:
    """A connection whose answer's first part has come."""
    origin, host, _ = locate(f"http://{THERE}:9000")
    async with asyncio.timeout(20):
        while True:
            try:
                wire = await wires.to(origin, 1.0)
                break
            except OSError:
                await asyncio.sleep(0.05)  # it is still starting
    await wire.ask(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (path.encode(), host), 60.0, 1e9)
    assert await wire.chunk() == b"ok"
    return wire


@pytest.mark.usefixtures("machine")
def test_a_request_to_a_vanished_machine_breaks_within_a_second_and_a_silent_stream_after_two() -> None:
    async def story() -> None:
        wires = Wires()
        stream, kept = await asked(wires, "/stream"), await asked(wires, "/whole")
        assert await kept.chunk() == b""
        vanish()
        began = perf_counter()

        async def breaks_after(waiting: Wire, request: bytes = b"") -> float:
            with pytest.raises(ConnectionError):
                await (waiting.ask(request, 60.0, 1e9) if request else waiting.chunk())
            return perf_counter() - began

        took = await asyncio.gather(breaks_after(kept, b"GET /whole HTTP/1.1\r\n\r\n"), breaks_after(stream))
        assert took[0] < 1.2
        assert took[1] < 3.2

    asyncio.run(story())
