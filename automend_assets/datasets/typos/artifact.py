"""A model as one file: the sentence-transformers folder, the corrections that it knows, and how it was made, in a zip.

What belongs here: writing and reading that file. What does not: packing folders safely (`storage/archives.py`), loading
a folder safely (`encoder.py`), where files are kept (the store).
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automend_assets.datasets.typos.texts import Entry
from automend_assets.storage.archives import pack, unpack

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CORRECTIONS = "corrections.json"
FACTS = "training.json"


@dataclass(frozen=True)
class ModelArtifact:
    """A model, the corrections that it is to find (empty for a base), and deterministic facts about its making."""

    model: SentenceTransformer
    entries: list[Entry]
    facts: dict[str, Any]


def write_artifact(artifact: ModelArtifact, file: Path) -> None:
    """Write an artifact to the zip `file`: the same bytes for the same weights, corrections and facts."""
    with tempfile.TemporaryDirectory(prefix="automend-model-") as name:
        folder = Path(name)
        # The library's own card names the time and the machine.
        artifact.model.save(str(folder), create_model_card=False)
        _write(folder / CORRECTIONS, [list(entry) for entry in artifact.entries])
        _write(folder / FACTS, artifact.facts)
        pack(folder, file)


def read_artifact(file: Path) -> ModelArtifact:
    """Read what `write_artifact` wrote, or a zip of a plain sentence-transformers folder, which knows no corrections.

    Nothing in the file is run or unpickled. Raises UnsafeArchive, UnusableModel.
    """
    from automend_assets.datasets.typos.encoder import UnusableModel, load_model

    with tempfile.TemporaryDirectory(prefix="automend-model-") as name:
        folder = Path(name)
        unpack(file, folder)
        folder = _model_folder(folder)
        model = load_model(folder)
        try:
            entries = [Entry(str(text), str(domain)) for text, domain in _read(folder / CORRECTIONS, [])]
            facts = dict(_read(folder / FACTS, {}))
        except (ValueError, TypeError) as error:
            raise UnusableModel(
                f"{file.name} has a {CORRECTIONS} or {FACTS} that is not as it was written: {error}."
            ) from error
    return ModelArtifact(model, entries, facts)


def read_facts(file: Path) -> dict[str, Any]:
    """What an artifact of ours says of its making, without loading the model."""
    with zipfile.ZipFile(file) as archive:
        facts: dict[str, Any] = json.loads(archive.read(FACTS))
    return facts


def is_character_model(folder: Path) -> bool:
    """Whether the model in a folder is of the family that sees characters, which needs this package to load."""
    modules = json.loads((folder / "modules.json").read_bytes())
    return any("automend_assets" in module["type"] for module in modules)


def _model_folder(folder: Path) -> Path:
    """The folder itself, or the one folder in it: archives of the original have either."""
    inner = [path for path in folder.iterdir() if path.is_dir()]
    if not (folder / "modules.json").exists() and len(inner) == 1:
        return inner[0]
    return folder


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(file: Path, missing: Any) -> Any:
    return json.loads(file.read_bytes()) if file.exists() else missing
