"""A model as one file: the same bytes again, both families, the original's layout, and nothing hostile."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from automend_assets.datasets.typos.artifact import ModelArtifact, read_artifact, write_artifact
from automend_assets.datasets.typos.encoder import UnusableModel, character_model
from automend_assets.datasets.typos.texts import Entry
from automend_assets.storage.archives import UnsafeArchive, pack, unpack

TEXTS = ["car brand: toyota", "car model: x5"]


def test_an_artifact_comes_back_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    entries = [Entry("Citroën", "brand"), Entry("X5", "model")]
    for name in ("a.zip", "b.zip"):
        artifact = ModelArtifact(character_model(seed=3, buckets=512), entries, {"pairs": 2, "loss": 0.5})
        write_artifact(artifact, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    found = read_artifact(tmp_path / "a.zip")
    assert found.entries == entries
    assert found.facts == {"pairs": 2, "loss": 0.5}
    assert np.array_equal(
        found.model.encode(TEXTS), character_model(seed=3, buckets=512).encode(TEXTS), equal_nan=False
    )


def test_archives_of_the_original_layout_are_read(tmp_path: Path) -> None:
    model = character_model(seed=3, buckets=512)
    for name in ("flat", "nested/finetuned-embedding-model"):
        model.save(str(tmp_path / name), create_model_card=False)
        pack(tmp_path / name.split("/")[0], tmp_path / "original.zip")
        found = read_artifact(tmp_path / "original.zip")
        assert (found.entries, found.facts) == ([], {})
        assert np.array_equal(found.model.encode(TEXTS), model.encode(TEXTS))


def test_hostile_and_broken_artifacts_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.zip"
    write_artifact(ModelArtifact(character_model(seed=3, buckets=512), [], {}), good)
    for name, content, error in (
        ("pytorch_model.bin", b"x", UnsafeArchive),
        ("modules.json", b"[]{", UnusableModel),
        ("corrections.json", b'[["only a text"]]', UnusableModel),
        ("corrections.json", b"7", UnusableModel),
        ("training.json", b"7", UnusableModel),
        ("modules.json", b'[{"type": "os.system", "path": ""}]', UnusableModel),
    ):
        unpack(good, tmp_path / "folder")
        (tmp_path / "folder" / name).write_bytes(content)
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
            for path in (tmp_path / "folder").rglob("*"):
                archive.write(path, path.relative_to(tmp_path / "folder"))
                if path.is_file():
                    path.unlink()
        with pytest.raises(error):
            read_artifact(tmp_path / "bad.zip")
