"""The offline default model: what it sees, that it is saved and loaded as it was, and that nothing in a folder runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from automend_assets.datasets.typos.encoder import CharacterNgrams, UnusableModel, character_model, load_model

TEXTS = ["car brand: toyota", "car model: x50", "x50", "", "car model: " + "long " * 40, "citroën", "車"]


def test_a_model_is_what_its_seed_says(untrained: SentenceTransformer) -> None:
    again, other = character_model(seed=1), character_model(seed=2)
    assert np.array_equal(untrained.encode(TEXTS), again.encode(TEXTS))
    assert not np.array_equal(untrained.encode(TEXTS), other.encode(TEXTS))


def test_the_short_way_gives_what_the_library_gives(untrained: SentenceTransformer) -> None:
    module = untrained[0]
    assert isinstance(module, CharacterNgrams)
    texts = TEXTS * 40
    direct = module.embed(texts)
    assert direct == pytest.approx(untrained.encode(texts), abs=1e-6)
    assert np.linalg.norm(direct, axis=1) == pytest.approx(1)
    assert module.embed([]).shape == (0, module.get_embedding_dimension())


def test_an_embedding_does_not_depend_on_its_batch(untrained: SentenceTransformer) -> None:
    module = untrained[0]
    for text, embedding in zip(TEXTS, module.embed(TEXTS), strict=True):
        assert module.embed([text])[0] == pytest.approx(embedding, abs=1e-6)


def test_it_sees_characters(untrained: SentenceTransformer) -> None:
    meant, near, swapped, other = untrained.encode(
        ["car model: hilux", "car model: hilax", "car model: hliux", "car model: saga"]
    )
    assert meant @ near > 0.4 > meant @ other
    assert meant @ swapped > meant @ other + 0.1


def test_a_prompt_is_a_prefix(untrained: SentenceTransformer) -> None:
    prompted = untrained.encode(["x50"], prompt="car model: ")
    assert np.array_equal(prompted, untrained.encode(["car model: x50"]))
    assert not np.array_equal(prompted, untrained.encode(["car brand: x50"]))


def test_a_saved_model_is_loaded_as_it_was(untrained: SentenceTransformer, tmp_path: Path) -> None:
    untrained.save(str(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".bin"]
    loaded = load_model(tmp_path)
    assert np.array_equal(loaded.encode(TEXTS), untrained.encode(TEXTS))
    assert loaded.get_embedding_dimension() == untrained.get_embedding_dimension()


def test_sentence_transformers_itself_loads_it(untrained: SentenceTransformer, tmp_path: Path) -> None:
    untrained.save(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True)
    assert np.array_equal(loaded.encode(TEXTS), untrained.encode(TEXTS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("pickle", "pytorch_model.bin"),
        ("code", "evil.Module"),
        ("no modules", "modules.json"),
        ("broken modules", "modules.json"),
    ],
)
def test_nothing_that_could_run_is_loaded(
    untrained: SentenceTransformer, tmp_path: Path, change: str, message: str
) -> None:
    untrained.save(str(tmp_path))
    if change == "pickle":
        (tmp_path / "pytorch_model.bin").write_bytes(b"")
    elif change == "code":
        (tmp_path / "evil.py").write_text("raise SystemExit('this ran')")
        (tmp_path / "modules.json").write_text(
            json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}])
        )
    elif change == "no modules":
        (tmp_path / "modules.json").unlink()
    else:
        (tmp_path / "modules.json").write_text('{"type": 1')
    with pytest.raises(UnusableModel, match=message):
        load_model(tmp_path)
