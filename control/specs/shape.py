"""What the models say about a place in a file: which fields may stand there and how they are marked."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from control.specs.base import Spec
from control.specs.problem import Loc


def field_names(model: type[Spec]) -> list[str]:
    """The fields of a model as a file spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def model_at(root: type[Spec], loc: Loc) -> type[Spec] | None:
    """The model that describes the mapping at `loc`, or None where no model does."""
    models = [option for option in _options(_trail(root, loc)[-1]) if _is_model(option)]
    return models[0] if models else None


def marks_at(root: type[Spec], loc: Loc) -> list[Any]:
    """The markers (`Waits`, `Written` ...) met from the root down to `loc`, in that order."""
    marks: list[Any] = []
    for annotation in _trail(root, loc):
        marks += _metadata(annotation)
    return marks


def own_marks(root: type[Spec], loc: Loc) -> list[Any]:
    """The markers of exactly the place `loc`."""
    return _metadata(_trail(root, loc)[-1])


def _trail(root: type[Spec], loc: Loc) -> list[Any]:
    """The annotation of every place from the root to `loc`; None where the models say nothing."""
    trail: list[Any] = [root]
    for key in loc:
        trail.append(next((found for option in _options(trail[-1]) if (found := _below(option, key))), None))
    return trail


def _below(option: Any, key: str | int) -> Any:
    if _is_model(option):
        if key == f"[{option.__name__}]":
            return option  # the tag of one of a union's models, which pydantic puts into the place of an error
        for name, field in option.model_fields.items():
            if (field.alias or name) == key:
                return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        if option.model_config.get("extra") == "allow":
            return get_args(get_type_hints(option)["__pydantic_extra__"])[1]
    if get_origin(option) is tuple and isinstance(key, int):
        return get_args(option)[0]
    if get_origin(option) is dict:
        return get_args(option)[1]
    return None


def _options(annotation: Any) -> list[Any]:
    """The types that an annotation allows, with `Annotated` and unions opened."""
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [option for member in get_args(annotation) for option in _options(member)]
    return [annotation]


def _metadata(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return [*metadata, *_metadata(inner)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [mark for member in get_args(annotation) for mark in _metadata(member)]
    return []


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, Spec)
