"""The metrics of the AI gateway's routes. Pure.

Who answers a model that is served here is a backend of the route "". Money is in dollars.
"""

from __future__ import annotations

from typing import Any

from control.metrics import route_subjects as subjects
from control.metrics.metric import Section, counter, gauge, times
from control.metrics.route_subjects import PAIR
from control.price import NANO
from control.route_traffic import Counts, Standing
from control.traffic import Traffic

SOURCE = "what each gateway replica counts"
SHARE = (*PAIR, "organization", "gateway")

OUTCOMES: Section[int] = Section(
    SOURCE,
    (*SHARE, "outcome"),
    subjects.outcomes,
    (
        counter(
            "biplane_gateway_requests_total",
            "Requests that ended: ok, client_error, rate_limited, over_budget, server_error, cut (after some of the "
            "answer), client_left.",
            float,
        ),
    ),
)
SHARES: Section[Counts] = Section(
    SOURCE,
    SHARE,
    subjects.shares,
    (
        counter(
            "biplane_gateway_fallbacks_total",
            "Requests that were answered after a backend was passed over, or failed.",
            lambda c: c.fallbacks,
        ),
        counter("biplane_gateway_prompt_tokens_total", "Tokens that were read.", lambda c: c.prompt),
        counter(
            "biplane_gateway_cached_tokens_total",
            "Tokens that came out of a provider's cache.",
            lambda c: c.cached,
        ),
        counter("biplane_gateway_completion_tokens_total", "Tokens that were written.", lambda c: c.completion),
        counter("biplane_gateway_cost_dollars_total", "What was spent.", lambda c: c.cost / NANO),
        counter(
            "biplane_gateway_saved_dollars_total",
            "What was not spent because the gateway's cache answered.",
            lambda c: c.saved / NANO,
        ),
    ),
)
HITS: Section[int] = Section(
    SOURCE,
    (*SHARE, "kind"),
    subjects.hits,
    (counter("biplane_gateway_cache_hits_total", "Requests that the cache answered: exact, semantic.", float),),
)
TIMES: Section[Traffic] = Section(
    SOURCE,
    (*PAIR, "gateway"),
    subjects.pairs,
    (
        times(
            "biplane_gateway_time_to_first_content_seconds",
            "From a request's arrival to the first content of its stream.",
            lambda t: t.ttft_ms,
            7,
            119,
        ),
        times(
            "biplane_gateway_request_seconds",
            "From a request's arrival to the end of an answer that came whole.",
            lambda t: t.latency_ms,
            7,
            126,
        ),
    ),
)
ERRORS: Section[int] = Section(
    SOURCE,
    ("gateway", "code"),
    subjects.errors,
    (
        counter(
            "biplane_gateway_errors_total",
            "Errors that were answered, also to requests whose key or body was no good, or for which was no room.",
            float,
        ),
    ),
)
STATES: Section[float] = Section(
    SOURCE,
    (*PAIR, "gateway", "state"),
    subjects.states,
    (
        gauge(
            "biplane_gateway_backend_state",
            "1 for the state that the backend's breaker is in: healthy, degraded, open, half_open.",
            float,
        ),
    ),
)
STANDINGS: Section[Standing] = Section(
    SOURCE,
    (*PAIR, "gateway"),
    subjects.standings,
    (
        gauge(
            "biplane_gateway_backend_left_out",
            "1 while its breaker, a trigger or its own Retry-After keeps requests from the backend.",
            lambda s: bool(s.why),
        ),
    ),
)

ROUTE_SECTIONS: tuple[Section[Any], ...] = (OUTCOMES, SHARES, HITS, TIMES, ERRORS, STATES, STANDINGS)
