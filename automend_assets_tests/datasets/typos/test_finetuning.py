"""A version's model out of its base and all pairs: the same bytes each time, whatever a killed training left behind."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from automend_assets.datasets.typos.artifact import ModelArtifact, read_facts, write_artifact
from automend_assets.datasets.typos.encoder import character_model
from automend_assets.datasets.typos.finetuning import finetune
from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.options import BundledBase, TyposOptions
from automend_assets.datasets.typos.retraining import TrainingSet, training_set
from automend_assets.datasets.typos.sample import entries
from automend_assets.datasets.typos.training import TrainingOptions

OPTIONS = TyposOptions(
    base=BundledBase(), training=TrainingOptions(epochs=2, drawn_typos=1), half_life=8.0, split_seed=42
)


def chosen(seed: int = 1) -> TrainingSet:
    pairs = noisy_pairs(entries()[:60], 3, seed)
    frame = pl.DataFrame(pairs, schema=["typo", "corrected", "domain"], orient="row")
    return training_set([(0, frame)], half_life=8.0, split_seed=42)


def trained(file: Path, training: TrainingSet, checkpoints: Path, stop_after: int | None = None) -> bytes:
    def on_progress(done: int, _epochs: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    base = ModelArtifact(character_model(seed=1, buckets=1024), [], {})
    artifact, _ = finetune(
        base, training, OPTIONS, versions=["v0001"], checkpoints=checkpoints, on_progress=on_progress
    )
    write_artifact(artifact, file)
    return file.read_bytes()


def test_killed_or_not_the_artifact_has_the_same_bytes(tmp_path: Path) -> None:
    whole = trained(tmp_path / "a.zip", chosen(), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b.zip", chosen(), tmp_path / "b", stop_after=1)
    assert list((tmp_path / "b").iterdir())
    assert trained(tmp_path / "b.zip", chosen(), tmp_path / "b") == whole
    assert not (tmp_path / "b").exists()


def test_a_checkpoint_of_other_pairs_is_thrown_away(tmp_path: Path) -> None:
    whole = trained(tmp_path / "a.zip", chosen(), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b.zip", chosen(seed=2), tmp_path / "b", stop_after=1)
    assert trained(tmp_path / "b.zip", chosen(), tmp_path / "b") == whole


def test_the_artifact_says_how_it_was_made(tmp_path: Path) -> None:
    training = chosen()
    trained(tmp_path / "a.zip", training, tmp_path / "a")
    facts = read_facts(tmp_path / "a.zip")
    assert facts["versions"] == ["v0001"]
    assert facts["base"] == {"kind": "bundled", "seed": 42}
    assert facts["corrections"] == len(training.entries)
    assert sum(facts["pairs"].values()) == 180
    assert len(facts["losses"]) == facts["epochs"]
