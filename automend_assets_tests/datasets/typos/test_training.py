"""Training: the same weights for the same seed, killed or not; batches without false negatives; a better model."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from automend_assets.datasets.typos.edit_distance import EditDistance
from automend_assets.datasets.typos.encoder import character_model, encode_with, load_model
from automend_assets.datasets.typos.evaluation import find_all
from automend_assets.datasets.typos.lookup import EMBEDDING_ALONE, Lookup
from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.split import split
from automend_assets.datasets.typos.texts import Entry, Pair
from automend_assets.datasets.typos.training import (
    Example,
    ForeignCheckpoint,
    NothingToTrainOn,
    TrainingOptions,
    batches,
    prepare,
    train,
)
from automend_assets_tests.datasets.typos import training_worker
from automend_assets_tests.datasets.typos.training_worker import OPTIONS, pairs


def weights(model: SentenceTransformer) -> torch.Tensor:
    return model[0].embedding.weight.detach().clone()


@pytest.fixture(scope="module")
def trained() -> torch.Tensor:
    model = character_model(seed=1, dimensions=64)
    train(model, pairs(), OPTIONS)
    return weights(model)


def test_the_same_seed_gives_the_same_weights(trained: torch.Tensor) -> None:
    again, other = (character_model(seed=1, dimensions=64) for _ in range(2))
    torch.rand(7)
    train(again, pairs(), OPTIONS)
    train(other, pairs(), OPTIONS.model_copy(update={"seed": 43}))
    assert torch.equal(weights(again), trained)
    assert not torch.equal(weights(other), trained)


def test_a_killed_training_goes_on_to_the_same_weights(trained: torch.Tensor, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    command = [sys.executable, training_worker.__file__, str(folder), "2"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    # What the death of a process in the middle of a write leaves.
    (folder / "checkpoint.part").write_bytes(b"half")
    epochs = []
    model = character_model(seed=1, dimensions=64)
    done = train(model, pairs(), OPTIONS, checkpoints=folder, on_progress=lambda at, _: epochs.append(at))
    assert epochs == [3, 4]
    assert done.epochs == 4
    assert torch.equal(weights(model), trained)
    assert not folder.exists()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(character_model(seed=1, dimensions=8), pairs(), OPTIONS, checkpoints=folder, on_progress=stop)
    with pytest.raises(ForeignCheckpoint, match="Delete"):
        train(character_model(seed=1, dimensions=8), pairs()[1:], OPTIONS, checkpoints=folder)


def test_training_beats_the_untrained_model_and_edit_distance(names: list[Entry]) -> None:
    parts = split(noisy_pairs(names, 6, 3), seed=1)
    model = character_model(seed=1)
    encode = encode_with(model)
    untrained = Lookup(names, encode, EMBEDDING_ALONE)
    before = {
        name: find_all(untrained, part).recall(1).mean() for name, part in parts.__dict__.items() if part
    }
    done = train(model, parts.training, TrainingOptions(epochs=4, drawn_typos=4))
    embedding, serving, edits = (
        Lookup(names, encode, EMBEDDING_ALONE),
        Lookup(names, encode),
        EditDistance(names),
    )
    assert done.losses[-1] < done.losses[0]
    for name, aim in (("seen", 0.95), ("unseen", 0.93)):
        part = getattr(parts, name)
        served, baseline = find_all(serving, part).recall(1).mean(), find_all(edits, part).recall(1).mean()
        assert served >= aim
        assert served > baseline
        assert find_all(embedding, part).recall(1).mean() > before[name]


def test_no_batch_holds_a_false_negative() -> None:
    # One typo of two corrections, a correction that is itself a typo, a pair and its reverse, many typos of one.
    given = [Pair(f"saga{number}", "Saga", "model") for number in range(30)]
    given += [Pair("sga", "Saga", "model"), Pair("sga", "Saba", "model"), Pair("Saga", "Sagas", "model")]
    given += [Pair("Myvi", "Mivy", "model"), Pair("Mivy", "Myvi", "model")]
    given += [Pair(f"other {number}x", f"Other {number}", "model") for number in range(40)]
    examples, held_out = prepare(given, TrainingOptions(drawn_typos=0, held_out=0, hard_negatives=True))
    assert not held_out
    by_text = {text: example.group for example, _ in examples for text in (example.typo, example.corrected)}
    saga = {by_text[f"car model: {text}"] for text in ("saga", "saba", "sagas", "sga", "saga3")}
    assert len(saga) == 1
    taken: list[Example] = []
    for batch in batches([example for example, _ in examples], 16, random.Random(1)):  # noqa: S311
        groups = [example.group for example in batch]
        assert 1 < len(batch) <= 16
        assert len(set(groups)) == len(groups)
        assert not {example.negative_group for example in batch} & set(groups)
        taken += batch
    assert len(taken) > 30
    assert len(set(taken)) == len(taken)


def test_pairs_of_one_correction_are_nothing_to_train_on(untrained: SentenceTransformer) -> None:
    given = [Pair("sga", "Saga", "model"), Pair("saag", "SAGA", "model"), Pair("City", "city", "model")]
    with pytest.raises(NothingToTrainOn, match="3 pairs have 1 group"):
        train(untrained, given, TrainingOptions(drawn_typos=0))


def test_a_pair_of_little_weight_is_seen_seldom() -> None:
    given = pairs()
    options = OPTIONS.model_copy(update={"drawn_typos": 0, "held_out": 0.0, "epochs": 8})
    full, light = (character_model(seed=1, dimensions=8) for _ in range(2))
    every = train(full, given, options).pairs_seen
    quarter = train(light, given, options, weights=[0.25] * len(given)).pairs_seen
    assert quarter / every == pytest.approx(0.25, abs=0.06)


def test_training_stops_once_nothing_gets_better() -> None:
    options = OPTIONS.model_copy(update={"epochs": 50, "held_out": 0.3, "patience": 1, "learning_rate": 3.0})
    model = character_model(seed=1, dimensions=16)
    done = train(model, pairs(), options)
    assert done.epochs < 50
    assert done.best_epoch == done.epochs - 1
    assert done.held_out_losses[done.best_epoch - 1] == min(done.held_out_losses)


def test_embeddings_may_be_cut_where_training_says_so(names: list[Entry]) -> None:
    found = noisy_pairs(names, 1, 17)

    def cut(model: SentenceTransformer) -> float:
        def encode(texts: list[str]) -> np.ndarray:
            short = model[0].embed(texts)[:, :16]
            return short / np.linalg.norm(short, axis=1, keepdims=True)

        return float(find_all(Lookup(names, encode, EMBEDDING_ALONE), found).recall(1).mean())

    options = TrainingOptions(epochs=3, drawn_typos=4, matryoshka=(64, 16), hard_negatives=True)
    model = character_model(seed=1, dimensions=64)
    before = cut(model)
    train(model, noisy_pairs(names, 1, 3), options)
    assert cut(model) > before + 0.1


def test_the_other_family_uses_the_same_configuration(names: list[Entry], tmp_path: Path) -> None:
    """Any sentence-transformers model: a tiny transformer made here, for no weights are at hand offline."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {
        token: number
        for number, token in enumerate(["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz0123456789-:"])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(1)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), **size)).save_pretrained(tmp_path / "bert")
    fast.save_pretrained(tmp_path / "bert")
    SentenceTransformer(str(tmp_path / "bert"), device="cpu").save(str(tmp_path / "model"))

    results = []
    for _ in range(2):
        model = load_model(tmp_path / "model")
        done = train(
            model, pairs(), OPTIONS.model_copy(update={"epochs": 2, "learning_rate": 1e-3, "batch": 32})
        )
        results.append(model.state_dict())
        found = Lookup(names, encode_with(model)).find("hilax", "model")
        assert done.losses[1] < done.losses[0]
        assert found[0].text == "Hilux"
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
