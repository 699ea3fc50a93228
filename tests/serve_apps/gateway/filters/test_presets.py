"""What redaction knows by name, and what only looks like it."""

from __future__ import annotations

import pytest

from control.specs.filters import MOST_HELD, PRESETS
from serve_apps.gateway.filters.presets import preset
from serve_apps.gateway.filters.scan import Patterns


def redacted(name: str, text: str) -> str:
    return Patterns([preset(name)]).replaced(text, lambda found, _: f"[{found}]")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_that_a_file_may_name_is_known_and_ends_in_a_stream(name: str) -> None:
    most = preset(name).pattern.most
    assert most is not None
    assert most <= MOST_HELD


FOUND = [
    ("email", "to ada.l+x@mail.example.org, now", "to [email], now"),
    ("credit-card", "4111 1111 1111 1111", "[credit-card]"),
    ("credit-card", "4111111111111111 and 3782-822463-10005", "[credit-card] and [credit-card]"),
    ("credit-card", "1235 5555 5555 5555 4444 123", "1235 [credit-card] 123"),
    ("phone", "call +44 (0)20 7946-0958!", "call [phone]!"),
    ("us-ssn", "536-22-1234", "[us-ssn]"),
    ("iban", "DE89 3704 0044 0532 0130 00 AND GB82WEST12345698765432", "[iban] AND [iban]"),
    ("ipv4", "from 10.0.0.255.", "from [ipv4]."),
    ("ipv6", "at 2001:db8::8a2e:370:7334 or ::1", "at [ipv6] or [ipv6]"),
    ("api-key", "key=sk-proj-abcdefghijklmnopqrst1234 AKIAIOSFODNN7EXAMPLE", "key=[api-key] [api-key]"),
]


@pytest.mark.parametrize(("name", "text", "expected"), FOUND)
def test_what_is_meant_is_found(name: str, text: str, expected: str) -> None:
    assert redacted(name, text) == expected


OTHER = [
    ("email", "ada@localhost, @ada"),
    ("credit-card", "4111 1111 1111 1112"),
    ("credit-card", "0000 0000 0000 0000"),
    ("credit-card", "order 41111111111111112222222222"),
    ("phone", "1 + 1234567"),
    ("us-ssn", "000-22-1234 666-22-1234 536-00-1234 900-22-1234 536-22-0000"),
    ("iban", "DE88 3704 0044 0532 0130 00"),
    ("ipv4", "300.1.1.1 is not, nor is 1.2.3"),
    ("ipv6", "std::vector at 12:30:00, a :: b"),
    ("api-key", "a task-force and sk-short"),
]


@pytest.mark.parametrize(("name", "text"), OTHER)
def test_what_only_looks_like_it_stays(name: str, text: str) -> None:
    assert redacted(name, text) == text
