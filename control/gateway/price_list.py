"""What a backend's model costs, and who says so: the document, or the list that comes with Biplane.

The list is data of this package (`prices.yaml`), read once and as constant as code. A crash leaves nothing behind.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from control.price import FREE, Price
from control.specs.model_price import ModelPrice
from control.specs.provider import LOCAL

_DATE = re.compile(r"-([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|latest)\Z")
"""How providers mark the versions of a model: gpt-4o-2024-08-06, claude-sonnet-4-20250514, claude-3-5-haiku-latest."""


class Source(Enum):
    """Who says what a model costs."""

    DOCUMENT = "document"
    LIST = "price list"
    LOCAL = "local: 0"


@dataclass(frozen=True, slots=True)
class Priced:
    price: Price
    source: Source


def price_of(provider: str, model: str, overrides: Iterable[ModelPrice]) -> Priced | None:
    """What `model` costs by the `overrides` of a gateway document, else by the list; None where neither knows.

    An exact name goes before the name without the date of a version. What is served locally is free unless priced.
    """
    own = {(one.provider, one.model): one for one in overrides}
    for prices, source in ((own, Source.DOCUMENT), (listed(), Source.LIST)):
        if (found := _find(prices, provider, model)) is not None:
            return Priced(found.price, source)
    return Priced(FREE, Source.LOCAL) if provider == LOCAL else None


def _find(prices: Mapping[tuple[str, str], ModelPrice], provider: str, model: str) -> ModelPrice | None:
    return prices.get((provider, model)) or prices.get((provider, _DATE.sub("", model)))


@functools.cache
def listed() -> Mapping[tuple[str, str], ModelPrice]:
    """The list that comes with Biplane, by provider and model, in its own order."""
    text = files("control.gateway").joinpath("prices.yaml").read_text("utf-8")
    prices = TypeAdapter(tuple[ModelPrice, ...]).validate_python(tuple(yaml.safe_load(text)))
    return {(one.provider, one.model): one for one in prices}
