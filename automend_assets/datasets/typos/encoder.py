"""The offline default model: hashed character n-grams, an embedding for each, their sum. Made from a seed alone.

What belongs here: what the model sees of a text, the module that sentence-transformers saves and loads, and making
an untrained model. What does not: training it or any other family (`training.py`).

A text is read in normalised form, without the prefix of its domain, which counts as one feature of its own. Its
features are its character n-grams of 1 to 4 characters with the ends marked, and the pairs of characters with one
between them, which survive an error at that place. Each is hashed into one of `buckets` rows; the embedding is the
sum of the rows, brought to length 1. Even untrained this is a random projection of the n-gram counts.

Imports torch and sentence_transformers at its top: import it inside the function that needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule

from automend_assets.datasets.typos.base_model import OUR_MODULE
from automend_assets.datasets.typos.texts import PREFIXES, normalised
from automend_assets.errors import PermanentError

DIMENSIONS = 256
BUCKETS = 16_384
LONGEST = 64

_LARGEST_NGRAM = 4
_BLOCK = 64
_BEGIN, _END = 2, 3
# Odd constants of splitmix64 (public domain): the hash must be the same on every machine.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SKIP = _LARGEST_NGRAM + 1
_PREFIX = _LARGEST_NGRAM + 2


_PICKLES = frozenset((".bin", ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"))


class UnusableModel(PermanentError):
    """A folder cannot be loaded as a model, or not safely."""


class CharacterNgrams(InputModule):
    """One embedding per hashed character n-gram; `sentence_embedding` is their sum at length 1, as float32."""

    config_keys: list[str] = ["buckets", "dimensions"]  # noqa: RUF012

    def __init__(self, buckets: int = BUCKETS, dimensions: int = DIMENSIONS, seed: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.buckets = buckets
        self.dimensions = dimensions
        weights = torch.empty(buckets, dimensions)
        weights.normal_(generator=torch.Generator().manual_seed(seed))
        self.embedding = torch.nn.EmbeddingBag.from_pretrained(weights, freeze=False, mode="sum")

    @property
    def max_seq_length(self) -> int:
        """Characters of a text that are read."""
        return LONGEST

    def get_embedding_dimension(self) -> int:
        """Values of an embedding."""
        return self.dimensions

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **_: Any
    ) -> dict[str, torch.Tensor]:
        """The features of texts: their buckets one text after the other, and where each text begins."""
        ids, starts = self._features([(prompt or "") + text for text in inputs])
        return {"input_ids": torch.from_numpy(ids), "offsets": torch.from_numpy(starts)}

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Adds `sentence_embedding`, one row per text."""
        summed = self.embedding(features["input_ids"], features["offsets"])
        features["sentence_embedding"] = torch.nn.functional.normalize(summed, dim=-1)
        return features

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What `SentenceTransformer.encode` gives on a CPU, to within rounding, without its cost per call."""
        weights = self.embedding.weight.detach().numpy()
        embeddings = np.empty((len(texts), self.dimensions), np.float32)
        for start in range(0, len(texts), _BLOCK):
            ids, starts = self._features(texts[start : start + _BLOCK])
            embeddings[start : start + _BLOCK] = np.add.reduceat(weights[ids], starts, axis=0)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings

    def save(self, output_path: str, *_: Any, safe_serialization: bool = True, **__: Any) -> None:
        """Write the configuration and the weights, as safetensors only."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=True)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **_: Any,
    ) -> CharacterNgrams:
        """Read what `save` wrote, from a folder or the Hub."""
        where: dict[str, Any] = {
            "subfolder": subfolder,
            "token": token,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
        }
        model = cls(**cls.load_config(model_name_or_path, **where))
        cls.load_torch_weights(model_name_or_path, model=model, **where)
        return model

    def _features(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        prefixes = np.zeros(len(texts), np.uint64)
        chars = np.zeros((len(texts), LONGEST + 2), np.uint64)
        lengths = np.zeros(len(texts), np.int64)
        for row, text in enumerate(texts):
            prefixes[row], body = _without_prefix(text)
            codes = np.frombuffer(normalised(body)[:LONGEST].encode("utf-32-le"), np.uint32)
            lengths[row] = len(codes) + 2
            chars[row, 0] = _BEGIN
            chars[row, 1 : len(codes) + 1] = codes
            chars[row, len(codes) + 1] = _END
        width = int(lengths.max(initial=2))
        chars = chars[:, :width]
        places = np.arange(width)
        hashes = [_mixed(prefixes[:, None], _PREFIX)]
        there = [np.ones((len(texts), 1), np.bool_)]
        grams = np.zeros_like(chars)
        for size in range(1, min(_LARGEST_NGRAM, width) + 1):
            grams = grams[:, : width - size + 1] * _MULTIPLIER + chars[:, size - 1 :]
            hashes.append(_mixed(grams, size))
            there.append(places[None, : width - size + 1] + size <= lengths[:, None])
        if width > 2:
            hashes.append(_mixed(chars[:, :-2] * _MULTIPLIER + chars[:, 2:], _SKIP))
            there.append(places[None, :-2] + 3 <= lengths[:, None])
        present = np.concatenate(there, axis=1)
        counts = present.sum(axis=1)
        ids = np.concatenate(hashes, axis=1)[present] % np.uint64(self.buckets)
        return ids.astype(np.int64), np.cumsum(counts) - counts


def character_model(
    *, seed: int, buckets: int = BUCKETS, dimensions: int = DIMENSIONS
) -> SentenceTransformer:
    """The untrained offline default: the same weights for the same seed."""
    return SentenceTransformer(modules=[CharacterNgrams(buckets, dimensions, seed)], device="cpu")


def encode_with(model: SentenceTransformer) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """How a model of either family gives embeddings of length 1, the quickest way on a CPU."""
    module = model[0]
    if isinstance(module, CharacterNgrams):
        return module.embed

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(
            model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), np.float32
        )

    return encode


def load_model(folder: Path, *, device: str = "cpu") -> SentenceTransformer:
    """A model of either family from a folder, running no code and unpickling nothing that is in it.

    sentence-transformers would import a module class of ours only with `trust_remote_code`, which also runs code that
    lies in the folder.

    Raises:
        UnusableModel: the folder is no model, names other code, or has weights that are not safetensors.
    """
    try:
        modules = json.loads((folder / "modules.json").read_bytes())
        types = [(str(module["type"]), str(module["path"])) for module in modules]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableModel(
            f"{folder} is no sentence-transformers model: its modules.json cannot be read."
        ) from error
    pickles = sorted(path.name for path in folder.rglob("*") if path.suffix in _PICKLES)
    if pickles:
        raise UnusableModel(
            f"{folder} has weights that can run code: {', '.join(pickles)}. Save it as safetensors."
        )
    if [name for name, _ in types] == [OUR_MODULE]:
        return SentenceTransformer(modules=[CharacterNgrams.load(str(folder), types[0][1])], device=device)
    foreign = [name for name, _ in types if not name.startswith("sentence_transformers.")]
    if foreign:
        raise UnusableModel(
            f"{folder} needs code that is not sentence-transformers' own: {', '.join(foreign)}."
        )
    return SentenceTransformer(str(folder), device=device, local_files_only=True)


def _without_prefix(text: str) -> tuple[int, str]:
    for number, prefix in enumerate(PREFIXES.values(), start=1):
        if text.startswith(prefix):
            return number, text[len(prefix) :]
    return 0, text


def _mixed(values: NDArray[np.uint64], kind: int) -> NDArray[np.uint64]:
    mixed = (values + np.uint64(kind * int(_MULTIPLIER) % 2**64)) * _MIX
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) * _MULTIPLIER >> np.uint64(16))
