"""What a model costs, as people write it: in gateway documents, and in the list that comes with Biplane. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from control.price import Price, per_token
from control.specs.base import Filled, Spec
from control.specs.problem import refuse
from control.specs.provider import PROVIDERS, ProviderName


def _is_whole(dollars: float) -> float:
    try:
        per_token(dollars)
    except ValueError:
        raise refuse(f"found {dollars!r}", "dollars per million tokens with at most three decimals") from None
    return dollars


PerMillion = Annotated[float, Field(ge=0, le=1_000_000), AfterValidator(_is_whole)]


class ModelPrice(Spec):
    """Dollars per million tokens. Where nobody says otherwise, what is read from a cache costs as much as `input`, and
    what is written into one as much as `input` with the provider's usual surcharge.
    """

    provider: ProviderName
    model: Filled
    input: PerMillion
    output: PerMillion
    cached_input: PerMillion | None = None
    cache_write: PerMillion | None = None

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def price(self) -> Price:
        """In nano-dollars per token."""
        fresh = per_token(self.input)
        surcharged = -(-fresh * PROVIDERS[self.provider].cache_write_percent // 100)  # rounded up: never too low
        return Price(
            input=fresh,
            cached_input=fresh if self.cached_input is None else per_token(self.cached_input),
            cache_write=surcharged if self.cache_write is None else per_token(self.cache_write),
            output=per_token(self.output),
        )
