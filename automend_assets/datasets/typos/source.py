"""Where a version of typos gets its rows and its base model from: named once when it is cut, read when it is made.

What belongs here: pinning and reading rows (bundled sample, CSV file, log of interactions), pinning and fetching base
models (in use, Hub, folder, bundled). What does not: which rows are good (`interactions.py`), which model of a
repository is the newest (`base_model.py`), the three backends of the log (`connectors/interactions`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import random
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import polars as pl

from automend_assets.connectors.hub import HubRepoMissing, HubResource
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.connectors.sources import Origin, open_files, pin_source
from automend_assets.datasets.typos.artifact import read_artifact
from automend_assets.datasets.typos.base_model import FoundModel, ModelFile, foreign_modules, models_of
from automend_assets.datasets.typos.interactions import ROWS_SCHEMA
from automend_assets.datasets.typos.options import Base, BundledBase, FolderBase, HubBase, PromotedBase
from automend_assets.errors import PermanentError
from automend_assets.pipeline.records import EmptySource, SourceNotReadable
from automend_assets.settings import project_root
from automend_assets.storage.archives import UnsafeArchive, check, pack
from automend_assets.storage.store import Store
from automend_assets.versions.manifest import LogSource, Manifest, Source

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODEL_FILE = "finetuned_model.zip"

_BATCH_ROWS = 50_000
# What a sentence-transformers folder consists of, formats that can run code left out.
_MODEL_SUFFIXES = {".json", ".txt", ".safetensors", ".model", ".vocab"}
_MODEL_BYTES = 4 << 30
_MODULES_BYTES = 1 << 20
_READ_BYTES = 1 << 20
# Longer cells are no interactions, but only their own row is refused for that, and not the file.
_LONGEST_CELL = 16 << 20

_LOG = logging.getLogger(__name__)


class NothingNew(PermanentError):
    """The log has no settled rows that are in no version yet."""


class NoBaseModel(PermanentError):
    """The base model that was asked for is not there, or none of a repository's can be used."""


class BaseModelChanged(PermanentError):
    """A base model is not the one that the version was cut with."""


def sample_path() -> Path:
    """The bundled interactions, which `sample.py` generated."""
    return project_root() / "data" / "samples" / "typos" / "interactions.csv"


def resolve_rows(kind: str, path: str | None) -> Source:
    """Pin down a sample or a file for a manifest; see `connectors.sources.pin_source`."""
    if kind not in ("sample", "file"):
        raise SourceNotReadable(f"typos are not read from {kind!r}: use --source sample, file or log.")
    # Neither of the two connects to the Hub.
    return pin_source(kind, _origin(), hub=HubResource(), path=path)


def read_interactions(
    manifest: Manifest,
    interactions: InteractionsResource,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """The rows of a version as a frame of ROWS_SCHEMA, unusable ones included.

    Of a file with more rows than the manifest asks for a seeded sample is taken, in the file's order. `row_number` is
    the id in the table; in a file the column `id` where it numbers every row once, else the number of the record.

    Raises SourceMissing, SourceChanged, SourceNotReadable, EmptySource and the errors of `connectors.interactions`.
    """
    if isinstance(manifest.source, LogSource):
        frames = []
        with interactions.open() as log:
            for batch in log.pinned(manifest.source):
                frames.append(batch.rename({"id": "row_number"}))
                if on_progress:
                    on_progress(sum(map(len, frames)))
        return pl.concat(frames).match_to_schema(ROWS_SCHEMA)
    ((name, raw),) = open_files(manifest.source, _origin(), HubResource())
    with io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8-sig", errors="replace", newline="") as text:
        frames = []
        for batch in _csv_batches(text, name):
            frames.append(batch)
            if on_progress:
                on_progress(sum(map(len, frames)))
    if not frames:
        raise EmptySource(f"{name} has no rows: give a CSV with the columns typo, corrected, domain.")
    rows = _numbered(pl.concat(frames))
    if manifest.rows is not None and manifest.rows < rows.height:
        drawn = random.Random(manifest.seed).sample(range(rows.height), manifest.rows)  # noqa: S311
        rows = rows[sorted(drawn)]
    return rows


def resolve_base(
    choice: str, *, hub: HubResource, hub_repo: str | None, in_use: tuple[str, str] | None
) -> Base:
    """Pin down the base model that `choice` names: auto, promoted, hub, bundled or folder:PATH.

    `in_use` is the version in use and the SHA-256 of its model. `auto` is that, else the newest model of `hub_repo`,
    else the bundled one. Raises NoBaseModel and the errors of `connectors.hub`.
    """
    kind, _, path = choice.partition(":")
    if kind == "folder" and path:
        folder = Path(path).expanduser().absolute()
        return FolderBase(path=str(folder), sha256=_folder_sha256(folder))
    if choice == "bundled":
        return BundledBase()
    if choice == "promoted" and in_use is None:
        raise NoBaseModel("No model of typos is in use yet: leave the base out, or choose hub or bundled.")
    if choice in ("auto", "promoted") and in_use is not None:
        return PromotedBase(version=in_use[0], sha256=in_use[1])
    if choice == "hub" and hub_repo is None:
        raise NoBaseModel("AUTOMEND_HUB_MODEL_REPO names no repo to take a base model from: set it.")
    if choice in ("auto", "hub"):
        return BundledBase() if hub_repo is None else _newest_of(hub, hub_repo, required=choice == "hub")
    raise NoBaseModel(f"There is no base model {choice!r}: use auto, promoted, hub, bundled or folder:PATH.")


def fetch_base(base: Base, *, hub: HubResource, store: Store, folder: Path) -> SentenceTransformer:
    """Load the base model of a version; `folder` is for what has to be downloaded.

    Nothing of it is run or unpickled. Raises BaseModelChanged, UnsafeArchive, UnusableModel, ArtifactMissing and the
    errors of `connectors.hub`.
    """
    from automend_assets.datasets.typos.encoder import character_model, load_model

    if isinstance(base, BundledBase):
        return character_model(seed=base.seed)
    if isinstance(base, PromotedBase):
        with store.local_copy("typos", base.version, MODEL_FILE) as file:
            found = _sha256(file)
            if found != base.sha256:
                raise BaseModelChanged(
                    f"The model of typos {base.version} is not the one that this version was cut with (sha256 {found}"
                    f" now, {base.sha256} then): put it back, or cut a new version."
                )
            return read_artifact(file).model
    if isinstance(base, FolderBase):
        if _folder_sha256(Path(base.path)) != base.sha256:
            raise BaseModelChanged(
                f"The model in {base.path} is not the one that this version was cut with: put it back, or cut a new"
                " version."
            )
        return load_model(Path(base.path))
    files = hub.list_files(base.repo, base.revision, repo_type="model")
    if base.path.endswith(".zip"):
        chosen = [file for file in files if file.path == base.path]
    else:
        chosen = [file for file in files if _is_of_model(file.path, base.path)]
    if not chosen or sum(file.size for file in chosen) > _MODEL_BYTES:
        raise NoBaseModel(
            f"{base.repo} at {base.revision[:12]} has no model {base.path!r} of at most {_MODEL_BYTES >> 30} GiB."
        )
    for wanted in chosen:
        target = folder.joinpath("base", PurePosixPath(wanted.path).relative_to(_parent(base.path)))
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            hub.open(base.repo, base.revision, wanted, repo_type="model") as stream,
            target.open("wb") as out,
        ):
            while chunk := stream.read(_READ_BYTES):
                out.write(chunk)
    if base.path.endswith(".zip"):
        return read_artifact(folder / "base" / PurePosixPath(base.path).name).model
    return load_model(folder / "base")


def _newest_of(hub: HubResource, repo: str, *, required: bool) -> HubBase | BundledBase:
    """The newest usable model of a repository; the bundled one where nothing was published yet, unless `required`."""
    try:
        revision = hub.resolve_revision(repo, repo_type="model")
        files = hub.list_files(repo, revision, repo_type="model", dated=True)
    except HubRepoMissing:
        if required:
            raise
        _LOG.warning("%s does not exist yet: starting from the bundled model", repo)
        return BundledBase()
    sizes = {file.path: file for file in files}
    models = models_of(ModelFile(file.path, file.committed_at) for file in files)
    refused = []
    for model in models:
        reason = _unusable(hub, repo, revision, model, sizes)
        if reason is None:
            return HubBase(repo=repo, revision=revision, path=model.path)
        refused.append(f"{model.path or repo}: {reason}")
        _LOG.warning("%s of %s is passed over: %s", model.path or "the model", repo, reason)
    if refused:
        raise NoBaseModel(f"None of the models in {repo} can be used: {'; '.join(refused)}.")
    if required:
        raise NoBaseModel(f"{repo} has no model: a zip, or a folder with modules.json and safetensors.")
    _LOG.warning("%s has no model yet: starting from the bundled one", repo)
    return BundledBase()


def _unusable(
    hub: HubResource, repo: str, revision: str, model: FoundModel, files: dict[str, Any]
) -> str | None:
    """Why a model cannot be used, as far as can be told without downloading its weights."""
    file = files[model.path if model.is_archive else f"{model.path}/modules.json".lstrip("/")]
    if file.size > (_MODEL_BYTES if model.is_archive else _MODULES_BYTES):
        return "it is too large"
    try:
        with (
            hub.open(repo, revision, file, repo_type="model") as stream,
            io.BufferedReader(stream, _READ_BYTES) as buffered,
        ):
            if not model.is_archive:
                foreign = foreign_modules(buffered.read())
            else:
                with zipfile.ZipFile(buffered) as archive:
                    check(archive, PurePosixPath(model.path).name, file.size)
                    names = archive.namelist()
                    modules = [name for name in names if PurePosixPath(name).name == "modules.json"]
                    if not modules or archive.getinfo(modules[0]).file_size > _MODULES_BYTES:
                        return "it has no modules.json"
                    if not any(name.endswith(".safetensors") for name in names):
                        return "it has no safetensors"
                    foreign = foreign_modules(archive.read(modules[0]))
    except UnsafeArchive as error:
        return str(error)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        return f"it cannot be read ({error})"
    return f"it needs code of its own: {', '.join(foreign)}" if foreign else None


def _is_of_model(path: str, folder: str) -> bool:
    """Whether a file belongs to the model in a folder of a repository; `models` lies beside the one in the repo itself.

    A name that leads out of the folder belongs to none.
    """
    if ".." in PurePosixPath(path).parts:
        return False
    inside = path.startswith(f"{folder}/") if folder else not path.startswith("models/")
    return inside and PurePosixPath(path).suffix in _MODEL_SUFFIXES


def _parent(path: str) -> PurePosixPath:
    return PurePosixPath(path).parent if path.endswith(".zip") else PurePosixPath(path)


def _folder_sha256(folder: Path) -> str:
    if not (folder / "modules.json").exists():
        raise NoBaseModel(f"{folder} is no sentence-transformers model: it has no modules.json.")
    with tempfile.TemporaryDirectory(prefix="automend-base-") as name:
        pack(folder, Path(name) / "base.zip")
        return _sha256(Path(name) / "base.zip")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _origin() -> Origin:
    return Origin(dataset="typos", repo="", sample=sample_path(), data_files=_no_files)


def _no_files(_hub: HubResource, repo: str, revision: str) -> list[Any]:
    raise SourceNotReadable(f"typos are not read from a dataset of the Hub ({repo} at {revision}).")


def _csv_batches(text: io.TextIOWrapper, name: str) -> Iterator[pl.DataFrame]:
    """The records of a CSV as frames with the columns id, typo, corrected, domain, created_at, as text."""
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(text)
    try:
        missing = [
            column for column in ("typo", "corrected", "domain") if column not in (reader.fieldnames or ())
        ]
        if missing:
            raise SourceNotReadable(
                f"{name} has no column {', '.join(missing)}: its first line has to name typo, corrected, domain, and"
                " may name id and created_at."
            )
        columns = ("id", "typo", "corrected", "domain", "created_at")
        batch: list[tuple[Any, ...]] = []
        for record in reader:
            batch.append(tuple(record.get(column) for column in columns))
            if len(batch) == _BATCH_ROWS:
                yield pl.DataFrame(batch, dict.fromkeys(columns, pl.String), orient="row")
                batch = []
        if batch:
            yield pl.DataFrame(batch, dict.fromkeys(columns, pl.String), orient="row")
    except csv.Error as error:
        raise SourceNotReadable(f"{name}, line {reader.line_num}, is no CSV: {error}.") from error


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    ids = rows["id"].str.strip_chars().cast(pl.Int64, strict=False)
    if ids.null_count() or ids.n_unique() != rows.height:
        ids = pl.int_range(1, rows.height + 1, dtype=pl.Int64, eager=True)
    times = pl.Series(
        "created_at", [_time(value) for value in rows["created_at"]], dtype=ROWS_SCHEMA["created_at"]
    )
    return rows.select(ids.alias("row_number"), "typo", "corrected", "domain", times).match_to_schema(
        ROWS_SCHEMA
    )


def _time(text: str | None) -> datetime | None:
    """A time in ISO 8601, in UTC where it has no zone; None for anything else, as nothing depends on it."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
