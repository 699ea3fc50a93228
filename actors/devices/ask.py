"""Questions to NVML about one device, none of which may keep the others from being asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_NOT_OFFERED = ("NVML_ERROR_NOT_SUPPORTED", "NVML_ERROR_FUNCTION_NOT_FOUND")
_OF_THE_LIBRARY = (
    "NVML_ERROR_UNINITIALIZED",
    "NVML_ERROR_DRIVER_NOT_LOADED",
    "NVML_ERROR_LIBRARY_NOT_FOUND",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
)


class Asker:
    """Asks, and collects in `troubles` what NVML could not say, each kind of error once."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._not_offered = {getattr(nvml, name) for name in _NOT_OFFERED}
        self._of_the_library = {getattr(nvml, name) for name in _OF_THE_LIBRARY}
        self._errors: dict[int, str] = {}

    @property
    def troubles(self) -> tuple[str, ...]:
        return tuple(self._errors.values())

    def __call__(self, what: str, otherwise: T, question: Callable[..., T], *about: Any) -> T:
        """The answer, or `otherwise`. Raises NVMLError only when the library as a whole has failed."""
        try:
            return question(*about)
        except self._nvml.NVMLError as error:
            if error.value in self._of_the_library:
                raise
            if error.value not in self._not_offered:
                lost = error.value == self._nvml.NVML_ERROR_GPU_IS_LOST
                self._errors.setdefault(error.value, f"lost: {error}" if lost else f"NVML on its {what}: {error}")
            return otherwise
