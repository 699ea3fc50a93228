"""`rollout:` of a Deployment: how traffic moves from the version that serves to the one that is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from control.specs.base import AtLeastOne, Items, Name, Spec, named_once
from control.specs.problem import refuse, show
from control.specs.quantity import MOST, Seconds

Strategy = Literal["canary", "blue-green", "shadow", "ab", "rolling", "instant"]
_ANALYSED = {"analysis", "hold", "least_requests", "no_traffic"}
_FIELDS: Mapping[str, set[str]] = {
    "canary": {"steps", *_ANALYSED},
    "blue-green": {"keep", "mirror", *_ANALYSED},
    "shadow": {"mirror", "then", "steps", "keep", *_ANALYSED},
    "ab": {"arms"},
    "rolling": set(),
    "instant": set(),
}
"""What each strategy reads besides `sticky`; anything else that is set has no effect and is refused."""
_ROUNDING = 1e-6


def _parse_percent(value: object) -> object:
    """A percentage as people write it: 5, 0.5 or "5%"."""
    number = value
    if isinstance(value, str):
        try:
            number = float(value.strip().removesuffix("%"))
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 100:
        raise refuse(f"found {show(value)}", "a percentage above 0 and at most 100, such as 5 or 12.5")
    return float(number)


def _parse_share(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        hint = ""
        if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < 100:
            hint = f" ({value} % is {value / 100:g})"
        raise refuse(f"found {show(value)}", f"a share of at least 0 and below 1, such as 0.005{hint}")
    return float(value)


def _parse_factor(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
        expected = "a factor over the stable arm of 1 to 100, such as 1.2 (20 % slower is still good)"
        raise refuse(f"found {show(value)}", expected)
    return float(value)


def _rise_to_100(steps: tuple[float, ...]) -> tuple[float, ...]:
    for index, (before, after) in enumerate(pairwise(steps), 1):
        if after <= before:
            expected = f"steps that rise: more than {before:g} % here"
            raise refuse(f"found {after:g} % after {before:g} %", expected, at=(index,), also=(index - 1,))
    if steps[-1] != 100:
        raise refuse(f"the last step is {steps[-1]:g} %", "a last step of 100 %", at=(len(steps) - 1,))
    return steps


Percent = Annotated[float, BeforeValidator(_parse_percent)]
Share = Annotated[float, BeforeValidator(_parse_share)]
Factor = Annotated[float, BeforeValidator(_parse_factor)]
Milliseconds = Annotated[float, Field(gt=0, le=86_400_000)]


class Limits(Spec):
    """Absolute limits in milliseconds, whatever the stable arm does: at most 5 % of the values of `ttft_ms` and
    `itl_ms`, at most 1 % of the values of `latency_p99_ms`, may lie above them."""

    ttft_ms: Milliseconds | None = None
    itl_ms: Milliseconds | None = None
    latency_p99_ms: Milliseconds | None = None


class Analysis(Spec):
    """What makes a version worse than the stable one.

    `error_rate` is how much its share of failed requests may lie above the stable arm's (0.005 is half a point);
    `ttft`, `itl` and `latency_p99` how many times as long as there it may take. `judges` names metrics with scores
    in [0, 1], more is better, whose mean may lie `judge_margin` below the stable arm's.
    """

    error_rate: Share = 0.005
    ttft: Factor = 1.2
    itl: Factor = 1.2
    latency_p99: Factor = 1.5
    limits: Limits = Limits()
    judges: Items[Name] = ()
    judge_margin: Share = 0.05
    on_failure: Literal["rollback", "hold"] = "rollback"

    @model_validator(mode="after")
    def _judges_once(self) -> Self:
        for index, name in enumerate(self.judges):
            if name in self.judges[:index]:
                raise refuse(f"judge '{name}' is given twice", "every name once", at=("judges", index))
        return self


class AbArm(Spec):
    """A named arm of an A/B test: `percent` of the traffic goes to `version`."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    percent: Percent


class RolloutSpec(Spec):
    """`steps` and `mirror` in percent of the traffic, `hold` and `keep` in seconds.

    A step lasts at least `hold` seconds and `least_requests` of the new version's requests. Without any traffic it
    waits, or with `no_traffic: continue` goes on after `hold`. `mirror` is the share of requests that the new version
    gets copies of (shadow: 10 unless said otherwise; blue-green: none); `keep` is how long the old version stands
    warm after the switch. A shadow is promoted only as `then` says. `sticky` keeps a user or a session on one arm.
    """

    strategy: Strategy
    steps: Annotated[Items[Percent], AtLeastOne, AfterValidator(_rise_to_100)] = (5.0, 25.0, 50.0, 100.0)
    hold: Seconds = 60.0
    least_requests: Annotated[int, Field(ge=0, le=MOST)] = 200
    no_traffic: Literal["wait", "continue"] = "wait"
    keep: Seconds = 600.0
    mirror: Percent | None = None
    then: Literal["canary", "blue-green", "instant"] | None = None
    arms: Annotated[Items[AbArm], named_once("arm")] = ()
    sticky: Literal["user", "session"] | None = None
    analysis: Analysis = Analysis()

    @property
    def mirrored(self) -> float:
        """The share of requests, 0 to 1, that are copied to a version that takes none yet."""
        if self.mirror is not None:
            return self.mirror / 100
        return 0.1 if self.strategy == "shadow" else 0.0

    @property
    def promotes(self) -> str:
        """The strategy by which a ready version comes to take traffic; empty where only a person promotes it."""
        return (self.then or "") if self.strategy == "shadow" else self.strategy

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        read = {"strategy", "sticky"} | _FIELDS[self.strategy]
        fields = type(self).model_fields
        for name in sorted(self.model_fields_set - read):
            if getattr(self, name) != fields[name].default:
                useful = ", ".join(strategy for strategy, names in _FIELDS.items() if name in names)
                found = f"{name} has no effect with strategy {self.strategy}"
                raise refuse(found, f"strategy {useful}, or no {name}", at=(name,))
        if self.strategy == "ab":
            self._check_arms()
        return self

    def _check_arms(self) -> None:
        if len(self.arms) < 2:
            expected = "at least two, such as [{name: a, version: 1, percent: 50}, {name: b, version: 2, percent: 50}]"
            raise refuse(f"an A/B test with {len(self.arms)} arm(s)", expected, at=("arms",))
        total = sum(arm.percent for arm in self.arms)
        if abs(total - 100) > _ROUNDING:
            listed = " + ".join(f"{arm.percent:g}" for arm in self.arms)
            last = self.arms[-1]
            rest = 100 - (total - last.percent)
            hint = f", which {rest:g} for arm '{last.name}' would make" if 0 < rest <= 100 else ""
            raise refuse(f"the arms have {listed} = {total:g} %", f"100 % together{hint}", at=("arms",))
