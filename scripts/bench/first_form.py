"""What the gateway costs: one model asked through the gateway, and asked directly, turn by turn in one run.

Needs a plane with a deployment that is ready (scripts/quickstart leaves one). Requests are not streamed and make 32
tokens each. Usage: python -m scripts.bench.first_form [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass

import aiohttp

from control.client import Client, NoPlane

TOKENS = 32
WARM_UP = 20
ONE_BY_ONE = 250
TOGETHER = 192
CLIENTS = 32
ROUNDS = 2


@dataclass(frozen=True)
class Route:
    """One way to ask the model: the URL of its chat endpoint, and the key."""

    url: str
    key: str


async def ask(session: aiohttp.ClientSession, route: Route, body: bytes) -> float:
    """Seconds from the request to the last byte. Raises RuntimeError unless exactly TOKENS tokens came back."""
    began = time.perf_counter()
    headers = {"Authorization": f"Bearer {route.key}", "Content-Type": "application/json"}
    async with session.post(route.url, data=body, headers=headers) as response:
        reply = await response.read()
    took = time.perf_counter() - began
    if response.status != 200 or json.loads(reply)["usage"]["completion_tokens"] != TOKENS:
        raise RuntimeError(f"{route.url} answered {response.status}: {reply[:300]!r}")
    return took


async def one_by_one(session: aiohttp.ClientSession, routes: dict[str, Route], body: bytes) -> dict[str, float]:
    """Median latency of each route and median of what a turn's gateway request took longer, in milliseconds."""
    took: dict[str, list[float]] = {name: [] for name in routes}
    for turn in range(WARM_UP + ONE_BY_ONE):
        # Every other turn the other way round: what runs beside the requests then falls on both alike.
        for name, route in list(routes.items())[:: 1 if turn % 2 else -1]:
            seconds = await ask(session, route, body)
            if turn >= WARM_UP:
                took[name].append(seconds)
    median = {f"{name}_ms_p50_c1": statistics.median(seconds) * 1000 for name, seconds in took.items()}
    added = [through - straight for straight, through in zip(took["direct"], took["gateway"], strict=True)]
    return median | {"added_ms_paired_p50_c1": statistics.median(added) * 1000}


async def together(session: aiohttp.ClientSession, route: Route, body: bytes) -> float:
    """Requests per second with CLIENTS clients that each ask again as soon as they are answered."""
    left = iter(range(TOGETHER))

    async def client() -> None:
        for _ in left:
            await ask(session, route, body)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return TOGETHER / (time.perf_counter() - began)


async def measure(routes: dict[str, Route], model: str) -> dict[str, float]:
    question = "What does HTTP status 404 mean?"
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": TOKENS,
            "temperature": 0,
            "ignore_eos": True,
        }
    ).encode()
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        median = await one_by_one(session, routes, body)
        rates: dict[str, list[float]] = {name: [] for name in routes}
        for _ in range(ROUNDS):
            for name, route in routes.items():
                rates[name].append(await together(session, route, body))
    return {
        **{name: round(value, 2) for name, value in median.items()},
        **{f"{name}_rps_c32": round(statistics.median(values), 1) for name, values in rates.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.first_form", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on standard output")
    given = parser.parse_args()
    client = Client()
    try:
        ready = [o for o in client.get("Deployment") if o.status.get("arms")]
    except NoPlane as error:
        sys.exit(f"first_form: {error}")
    if not ready:
        sys.exit("first_form: no deployment is ready; run scripts/quickstart first")
    deployment = ready[0]
    routes = {
        "direct": Route(
            f"{deployment.status['arms'][0]['url']}/v1/chat/completions", client.home.internal_key_file.read_text()
        ),
        "gateway": Route(
            f"{client.settings.gateway_url}/v1/chat/completions", client.home.api_key_file.read_text().strip()
        ),
    }
    figures = asyncio.run(measure(routes, deployment.name))
    if given.json:
        print(json.dumps(figures, separators=(",", ":")))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
