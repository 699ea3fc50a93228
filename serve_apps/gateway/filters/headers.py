"""Headers set and removed, of the request to the backend and of the answer to the client. Pure."""

from __future__ import annotations

from control.specs.filters import HeaderChanges, HeadersFilter
from control.specs.provider import Secret
from serve_apps.gateway.filters.filter import Context, Filter, Place, SecretOf, Unusable


class SetHeaders(Filter):
    """A secret is read where it is each time, so that one that was changed there is used."""

    def __init__(self, spec: HeadersFilter, secret_of: SecretOf) -> None:
        self._spec, self._secret_of = spec, secret_of

    def to_backend(self, headers: dict[str, str], context: Context) -> dict[str, str]:
        return self._changed(headers, self._spec.request)

    def to_client(self, headers: dict[str, str], context: Context) -> dict[str, str]:
        return self._changed(headers, self._spec.answer)

    def _changed(self, headers: dict[str, str], changes: HeaderChanges) -> dict[str, str]:
        """What is set wins over what is removed."""
        left = {name: value for name, value in headers.items() if name not in changes.remove}
        return left | {name: self._value(name, value) for name, value in changes.set.items()}

    def _value(self, name: str, value: str | Secret) -> str:
        if isinstance(value, str):
            return value
        told = self._secret_of(place_of(value))
        if not told.isascii() or not told.isprintable():
            raise Unusable(f"the secret for the header {name} is not printable ASCII on one line")
        return told


def place_of(secret: Secret) -> Place:
    return tuple(secret.model_dump(exclude_none=True).items())
