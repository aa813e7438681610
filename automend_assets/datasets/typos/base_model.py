"""Which of a repository's models is the newest: by the date in its name or the time of its commit, never as text.

What belongs here: finding models among file names, and their order. What does not: asking the Hub (`source.py`),
loading a model (`artifact.py`, `encoder.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

_DIGITS = re.compile(
    r"(?<!\d)(?:(\d{8})|(\d{4})[-_.](\d{2})[-_.](\d{2})|(\d{2})[-_.](\d{2})[-_.](\d{4}))(?!\d)"
)
_MODULES = "modules.json"
OUR_MODULE = "automend_assets.datasets.typos.encoder.CharacterNgrams"
_FIRST_YEAR, _LAST_YEAR = 2000, 2099


@dataclass(frozen=True)
class ModelFile:
    """A file of a repository and when it got its content, as far as that is known."""

    path: str
    committed_at: datetime | None


@dataclass(frozen=True)
class FoundModel:
    """A model in a repository: a zip, a folder, or the repository itself (the path is empty), and how new it is."""

    path: str
    dated: datetime

    @property
    def is_archive(self) -> bool:
        """Whether it is a zip."""
        return self.path.endswith(".zip")


def models_of(files: Iterable[ModelFile]) -> list[FoundModel]:
    """The models among the files of a repository, the newest first.

    A model is a zip, or a folder with a modules.json and weights as safetensors. A date in the name (20250131,
    31012025, 2025-01-31, 31.01.2025) goes before the time of the commit. Of models of one time a folder comes before
    a zip, and then the name decides, so that the order is always the same.
    """
    files = list(files)
    found = []
    for file in files:
        path = PurePosixPath(file.path)
        if path.suffix == ".zip":
            found.append(FoundModel(file.path, _dated(path.name, [file])))
        elif path.name == _MODULES:
            folder = "" if path.parent == PurePosixPath() else path.parent.as_posix()
            inner = [one for one in files if _is_in(one.path, folder)]
            if any(one.path.endswith(".safetensors") for one in inner):
                # What lies beside the model in the repository itself is not of it.
                own = [one for one in inner if folder or not one.path.startswith("models/")]
                found.append(FoundModel(folder, _dated(path.parent.name, own)))
    return sorted(found, key=lambda model: (-model.dated.timestamp(), model.is_archive, model.path))


def foreign_modules(modules: bytes) -> list[str]:
    """The classes in a modules.json that are neither sentence-transformers' nor this project's.

    Raises ValueError for what is no such file.
    """
    try:
        types = [str(module["type"]) for module in json.loads(modules)]
    except (KeyError, TypeError) as error:
        raise ValueError("it lists no modules") from error
    return [name for name in types if name != OUR_MODULE and not name.startswith("sentence_transformers.")]


def date_in(name: str) -> datetime | None:
    """The date that a name holds, or None: years first where both readings are dates."""
    for match in _DIGITS.finditer(name):
        whole, year, month, day, last_day, last_month, last_year = match.groups()
        readings = [(year, month, day), (last_year, last_month, last_day)]
        if whole:
            readings = [(whole[:4], whole[4:6], whole[6:]), (whole[4:], whole[2:4], whole[:2])]
        for reading in readings:
            if None in reading:
                continue
            found_year, found_month, found_day = map(int, reading)
            if not _FIRST_YEAR <= found_year <= _LAST_YEAR:
                continue
            try:
                return datetime(found_year, found_month, found_day, tzinfo=UTC)
            except ValueError:
                continue
    return None


def _dated(name: str, files: list[ModelFile]) -> datetime:
    times = [file.committed_at for file in files if file.committed_at]
    return date_in(name) or max(times, default=datetime.fromtimestamp(0, UTC))


def _is_in(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")
