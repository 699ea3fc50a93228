"""Documents and bytes with something wrong in them, the same for the same random numbers."""

import copy
import json
from random import Random
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 10**400, 0.5, float("nan"), float("inf"), "", "x", "\ud800", "\x00",
    "a\n\ndata: b", [], {}, [None], [[]], [{}], {"": None}, {"type": "text"}, {"type": []},
    {"type": "error", "error": "e"}, {"error": 1}, "x" * 5000,
)  # fmt: skip
TOKENS = (b"\xff", b"\n", b"\r\n\r\n", b'"', b"{", b"\\u", b"data: [DONE]\n\n")
DEPTHS = (10, 300, 900, 940, 950, 960, 970, 980, 985, 990, 1500, 50_000)
"""Around the depth at which Python gives up, and far beyond."""
DEEP = "\ue000deep"


def mutated_document(random: Random, document: Any) -> bytes:
    """As JSON, or nearly, with one to four things wrong."""
    document = copy.deepcopy(document)
    for _ in range(random.randint(1, 4)):
        _mutate(random, document)
    raw = json.dumps(document).encode()
    deep, closing = random.choice((("[", "]"), ('{"a":', "}")))
    depth = random.choice(DEPTHS)
    return raw.replace(json.dumps(DEEP).encode(), (deep * depth + "1" + closing * depth).encode(), 1)


def mutated_bytes(random: Random, data: bytes) -> bytes:
    """With one to four places changed, left out, doubled, or cut off behind."""
    found = bytearray(data)
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(found) + 1)
        end = min(len(found), start + random.choice((1, 1, 2, 9, 80)))
        match random.randrange(6):
            case 0:
                del found[start:end]
            case 1:
                found[start:end] = random.randbytes(end - start)
            case 2:
                found[start:start] = found[start:end] * random.choice((1, 2, 50))
            case 3:
                found[start:start] = random.choice(TOKENS)
            case 4 if len(found) > start:
                found[start] ^= 1 << random.randrange(8)
            case 5 if random.random() < 0.2:
                del found[start:]
    return bytes(found)


def pieces(random: Random, data: bytes) -> list[bytes]:
    """The same bytes, cut anywhere."""
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(4)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _mutate(random: Random, document: Any) -> None:
    """Changes one place of an object or array, anywhere in it."""
    places = [(holder, at) for holder in _holders(document) for at in _keys(holder)]
    if not places:
        return
    holder, at = random.choice(places)
    match random.randrange(7):
        case 0:
            del holder[at]
        case 1 | 2:
            holder[at] = copy.deepcopy(random.choice(NASTY))
        case 3:
            other, there = random.choice(places)
            holder[at] = copy.deepcopy(other[there])
        case 4:
            holder[at] = random.choice(([holder[at]], {"type": holder[at]}, str(holder[at])))
        case 5 if isinstance(holder, dict):
            holder[random.choice(("type", "error", "usage", "id", "index", "x"))] = holder.pop(at)
        case _:
            holder[at] = DEEP if random.random() < 0.3 else copy.deepcopy(random.choice(NASTY))


def _holders(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(found for one in inner for found in _holders(one))]


def _keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))
