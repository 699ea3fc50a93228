"""Registers a Hugging Face directory, or a model of the hub, or an adapter of one, as a version.

Files go to MLflow's artifacts as the registration step of a pipeline puts them there. The version is found by its key,
the digest of its content, before one is made, and made with all its tags in one call: a crash between any two lines
leaves a run that the next import finds and completes, and importing the same twice makes one version.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from control.kernel.store import Object
from control.registry.adapter_files import adapter_refusals
from control.registry.lineage import BASE_TAG, BYTES_TAG, DIGEST_TAG, FILES_TAG, LONGEST_LIST
from control.registry.model_directory import digests, read_listing
from control.registry.model_files import CONFIG, Listing, refusals
from control.registry.nature import Nature, tags_of

EXPERIMENT = "biplane-imports"
ARTIFACT = "model"
KEY = "biplane.key"
TEMPLATE = "chat_template.jinja"
USER_TAG = "mlflow.user"
FROM_HUB = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")


class NotServable(Exception):
    """The directory is no model that can be served; the text has a line for each reason."""


@dataclass(frozen=True)
class Imported:
    """What became of it. `new` is False where the same files were registered under this name before.

    `bytes` in all, `left_out` are files that were not taken.
    """

    model: str
    version: int
    new: bool
    files: int
    bytes: int
    left_out: tuple[str, ...]


class Uploads(Protocol):
    """The part of `mlflow.MlflowClient` that an import needs."""

    def get_experiment_by_name(self, name: str) -> Any: ...
    def create_experiment(self, name: str) -> Any: ...
    def search_runs(self, experiment_ids: list[str], filter_string: str) -> Any: ...
    def create_run(self, experiment_id: str, *, tags: dict[str, str]) -> Any: ...
    def log_artifact(self, run_id: str, local_path: str, artifact_path: str) -> None: ...
    def set_terminated(self, run_id: str) -> None: ...
    def search_registered_models(self, filter_string: str) -> Any: ...
    def create_registered_model(self, name: str) -> Any: ...
    def search_model_versions(self, filter_string: str) -> Any: ...
    def create_model_version(self, name: str, source: str, run_id: str, *, tags: dict[str, str]) -> Any: ...


def import_model(mlflow: Uploads, directory: Path, name: str, origin: str, listing: Listing) -> Imported:
    """Upload a directory that was `checked` and register it as a version of `name`. Raises OSError, MlflowException."""
    kept = listing.kept
    sums = digests(directory, kept)
    key = "import:" + hashlib.sha256(json.dumps([name, sums], sort_keys=True).encode()).hexdigest()
    left_out = tuple(sorted({*listing.sizes} - {*kept}))
    size = sum(listing.sizes[file] for file in kept)
    found = mlflow.search_model_versions(f"name = '{name}' and tags.`{KEY}` = '{key}'")
    if found:
        return Imported(name, min(int(one.version) for one in found), False, len(kept), size, left_out)
    run = _run(mlflow, key, origin)
    for file in kept:
        within = (Path(ARTIFACT) / file).parent
        mlflow.log_artifact(run.info.run_id, str(directory / file), str(within))
    if not mlflow.search_registered_models(f"name = '{name}'"):
        mlflow.create_registered_model(name)
    made = mlflow.create_model_version(
        name,
        f"{run.info.artifact_uri}/{ARTIFACT}",
        run.info.run_id,
        tags={KEY: key, **_base(listing, origin), **_tags(listing, sums), **tags_of(listing), BYTES_TAG: str(size)},
    )
    mlflow.set_terminated(run.info.run_id)
    return Imported(name, int(made.version), True, len(kept), size, left_out)


@contextmanager
def prepared(source: str, template: Path | None) -> Iterator[Path]:
    """The directory with the model's files: `source` itself, or what the hub has under that id; with `template` a
    copy, of links, to which it is added. Raises NotServable when there is neither."""
    directory = Path(source).expanduser()
    if not directory.is_dir():
        directory = _from_hub(source)
    if template is None:
        yield directory
        return
    text = template.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as made:
        linked = Path(made) / "model"
        shutil.copytree(directory, linked, copy_function=lambda old, new: Path(new).symlink_to(Path(old).resolve()))
        (linked / TEMPLATE).unlink(missing_ok=True)
        (linked / TEMPLATE).write_text(text, encoding="utf-8")
        yield linked


def checked(directory: Path, *, chat: bool) -> Listing:
    """What is in the directory. Raises NotServable with every reason why it cannot be served."""
    listing = read_listing(directory)
    if found := adapter_refusals(listing) if listing.is_adapter else refusals(listing, chat=chat):
        raise NotServable("\n".join(f"{directory}: {one}" for one in found))
    return listing


def check_kind(listing: Listing, name: str, stored: Iterable[Object]) -> None:
    """Raises NotServable where what is registered under the name is of the other kind: a deployment of its latest
    version would change from a model to an adapter, or back."""
    kinds = {Nature.read(o.spec.get("tags", {})).adapter for o in stored if o.spec["model"] == name}
    if kinds == {not listing.is_adapter}:
        here, there = ("an adapter", "whole models") if listing.is_adapter else ("a whole model", "adapters")
        raise NotServable(f"this is {here}, and the versions of {name} are {there}; give it a name of its own")


def _from_hub(identity: str) -> Path:
    """The files that the hub has for `owner/name`; they stay in its cache."""
    if identity.count("/") != 1 or identity.startswith((".", "/", "~")) or identity.endswith("/"):
        raise NotServable(f"there is no directory {identity}; expected one, or a hub id such as owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(identity, allow_patterns=list(FROM_HUB)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise NotServable(f"there is no directory {identity}, and the hub gave no such model: {first}") from error


def _run(mlflow: Uploads, key: str, origin: str) -> Any:
    """The run that holds the files: the one that an import of the same began, else a new one."""
    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    identity = experiment.experiment_id if experiment else mlflow.create_experiment(EXPERIMENT)
    begun = mlflow.search_runs([identity], f"tags.`{KEY}` = '{key}'")
    tags = {KEY: key, "biplane.origin": origin, USER_TAG: getpass.getuser()}
    return begun[0] if begun else mlflow.create_run(identity, tags=tags)


def _base(listing: Listing, origin: str) -> dict[str, str]:
    """Of a model the hub's id, or of a directory what its configuration says that it was made from."""
    if listing.is_adapter:
        return {}
    told = str(listing.documents[CONFIG].get("_name_or_path") or "") if Path(origin).expanduser().is_dir() else origin
    return {BASE_TAG: told} if told else {}


def _tags(listing: Listing, sums: dict[str, str]) -> dict[str, str]:
    """Digest of the weights (of the one file, else over those of the shards) and the list of files, where it is not
    too long."""
    weights = [sums[file] for file in listing.weights]
    whole = weights[0] if len(weights) == 1 else hashlib.sha256("".join(weights).encode()).hexdigest()
    files = json.dumps({file: [listing.sizes[file], digest] for file, digest in sums.items()})
    return {DIGEST_TAG: whole, **({FILES_TAG: files} if len(files) <= LONGEST_LIST else {})}
