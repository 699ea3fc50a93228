"""Which column of a file becomes which of a collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.vectors.rows import ID, VECTOR
from control.specs.collection import CollectionSpec
from control.specs.problem import nearest, one_of, show


class ImportRefused(Exception):
    """A file cannot be imported; the message names the file, the row and the column as far as they are known."""


def columns_of(
    names: Sequence[str], spec: CollectionSpec, id: str | None, vector: str | None, renames: Mapping[str, str]
) -> dict[str, str]:
    """By the file's name of a column the collection's; what is renamed to "" is left out. Raises ImportRefused.

    A file may lack ids (then rows are called by their numbers), fields, and where the collection embeds texts vectors.
    """
    wanted = {**renames, **({id: ID} if id else {}), **({vector: VECTOR} if vector else {})}
    for name in wanted:
        if name not in names:
            raise ImportRefused(_unknown(f"no column {show(name)}", name, names))
    fields = [field.name for field in spec.fields]
    known = (ID, VECTOR, *fields)
    taken = set(wanted.values())
    found: dict[str, str] = {}
    for name in names:
        target = wanted.get(name, "" if name in taken else name)
        if target and target not in known:
            told = _unknown(f"column {show(name)}: no field {show(target)}", target, known)
            raise ImportRefused(f"{told}; --map {name}=FIELD renames it, and --map {name}= leaves it out")
        if target in found.values():
            raise ImportRefused(f"column {show(name)}: {show(target)} a second time; expected every field once")
        if target:
            found[name] = target
    if VECTOR not in found.values() and spec.embedding is None:
        raise ImportRefused(f"no column 'vector'; expected one of {', '.join(names)} to be named by --vector")
    if VECTOR not in found.values() and spec.embedding is not None and spec.embedding.field not in found.values():
        raise ImportRefused(f"neither a column 'vector' nor the text {show(spec.embedding.field)} that it is made of")
    return found


def _unknown(found: str, name: str, choices: Sequence[str]) -> str:
    near = nearest(name, choices)
    return f"{found}; did you mean '{near}'?" if near else f"{found}; expected {one_of(choices)}"
