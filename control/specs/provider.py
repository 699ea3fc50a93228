"""The providers that a backend of the AI gateway may name, and what is known of each without being told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from control.specs.base import Filled, Spec
from control.specs.problem import nearest, one_of, refuse

LOCAL = "local-vllm"
"""A model that Biplane serves itself, or with an endpoint any server of OpenAI's protocol."""


@dataclass(frozen=True)
class Provider:
    """`dialect` is the API that it speaks. `endpoint` is where, without `/v1`; empty where the backend has to say it.
    `variable` is the environment variable that has its API key, where the backend names no other; empty for none.
    `cache_write_percent` is what a token costs that it puts into its cache, of one that is only read.
    """

    dialect: Literal["openai", "anthropic"]
    endpoint: str = ""
    variable: str = ""
    cache_write_percent: int = 100


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("openai", "https://api.openai.com", "OPENAI_API_KEY"),
    "anthropic": Provider("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", cache_write_percent=125),
    LOCAL: Provider("openai"),
}


def _is_known(name: str) -> str:
    if name not in PROVIDERS:
        raise refuse(f"unknown provider '{name}'", one_of(sorted(PROVIDERS)), nearest=nearest(name, PROVIDERS))
    return name


ProviderName = Annotated[Filled, AfterValidator(_is_known)]


class Secret(Spec):
    """Where a secret is, never the secret: the environment variable `env` of `biplane up`, or the `file`, which is read
    anew when it changes.
    """

    env: Filled | None = None
    file: Filled | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise refuse("env and file" if self.env else "neither env nor file", "one of them")
        return self
