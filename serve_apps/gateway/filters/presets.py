"""What redaction knows by name: patterns, and the check digits that tell a number of a kind from any other. Pure.

None matches more than MOST_HELD characters. Numbers count by their groups: one that a word runs into is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import AddressValueError, IPv6Address

from control.specs.pattern import parse_pattern
from serve_apps.gateway.filters.scan import Wanted

_KEYS = (
    r"sk-(?:ant-|proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,200}",  # Anthropic, OpenAI, OpenRouter
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,128}",  # Stripe
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"gh[pousr]_[A-Za-z0-9]{36,251}",
    r"github_pat_[A-Za-z0-9_]{36,251}",
    r"glpat-[A-Za-z0-9_-]{20,64}",
    r"hf_[A-Za-z0-9]{30,64}",
    r"xox[abprs]-[A-Za-z0-9-]{10,250}",  # Slack
)


def _ends(text: str) -> Iterator[int]:
    """How long the text is with all of its groups, with all but the last one, and so on."""
    yield len(text)
    for index in range(len(text) - 1, 0, -1):
        if not text[index].isalnum() and text[index - 1].isalnum():
            yield index


def _longest(is_valid: Callable[[str], bool]) -> Callable[[str], int]:
    """A number may be followed by another one, of its own groups: the longest that is valid counts."""
    return lambda text: next((end for end in _ends(text) if is_valid(text[:end])), 0)


def _is_card(text: str) -> bool:
    """ISO/IEC 7812: the digits, each second one from the right doubled and its digits summed, add up to tens."""
    digits = "".join(filter(str.isdigit, text))[::-1]
    doubled = sum(map(int, digits[1::2].translate(_DOUBLED)))
    return len(digits) >= 13 and len(set(digits)) > 1 and (sum(map(int, digits[::2])) + doubled) % 10 == 0


_DOUBLED = str.maketrans("0123456789", "0246813579")


def _is_iban(text: str) -> bool:
    """ISO 13616: with its first four characters last and letters as 10 to 35, it is 1 modulo 97."""
    compact = text.replace(" ", "")
    return int("".join(str(int(one, 36)) for one in compact[4:] + compact[:4])) % 97 == 1 and len(compact) >= 15


def _is_ssn(text: str) -> bool:
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _is_ipv6(text: str) -> bool:
    if text.count(":") > 7 or ("::" not in text and text.count(":") < 6) or len(text) < 3:
        return False  # most of what only looks like one, at a tenth of the time
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _all(is_valid: Callable[[str], bool]) -> Callable[[str], int]:
    return lambda text: len(text) if is_valid(text) else 0


_KNOWN: Mapping[str, tuple[str, Callable[[str], int]]] = {
    "email": (r"\b[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}", len),
    "credit-card": (
        r"\b(?:[0-9]{4}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,4}(?:[ -]?[0-9]{1,3})?|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})\b",
        _longest(_is_card),
    ),
    # E.164: a plus and at most fifteen digits, in whatever groups.
    "phone": (r"(?:\+|\b00)[1-9](?:[ ./-]?\(?[0-9]\)?){6,14}", len),
    "us-ssn": (r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", _all(_is_ssn)),
    "iban": (
        r"\b[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b",
        _longest(_is_iban),
    ),
    "ipv4": (r"\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\b", len),
    "ipv6": (
        r"(?:\b[0-9A-Fa-f]{1,4}|:):(?:[0-9A-Fa-f]{0,4}:){0,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?",
        _longest(_is_ipv6),
    ),
    "api-key": (rf"\b(?:{'|'.join(_KEYS)})", len),
}


def preset(name: str) -> Wanted:
    """Raises KeyError where there is none of the name."""
    pattern, valid = _KNOWN[name]
    return Wanted(name, parse_pattern(pattern), valid)
