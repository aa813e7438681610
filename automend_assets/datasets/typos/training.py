"""Training an embedding model on pairs: one configuration for every family, the same weights for the same seed.

What belongs here: the options, batches in which nothing right counts as wrong, the loop with its checkpoints. What
does not: what a family sees of a text (`encoder.py`), and whether the result is any good (`evaluation.py`).

The loss is MultipleNegativesRankingLoss in both directions: of a batch, each typo has to find its correction among
all corrections, and each correction its typo among all typos. The loop is our own and not the library's trainer,
whose cost per step is a multiple of what a step of the small model costs.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.texts import Pair, normalised, prompted
from automend_assets.errors import PermanentError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_CHECKPOINT = "checkpoint.pt"
_LARGEST_GRADIENT = 1.0


class NothingToTrainOn(PermanentError):
    """The pairs are of fewer than two groups of corrections."""


class ForeignCheckpoint(PermanentError):
    """A checkpoint was made by a training of something else."""


class TrainingOptions(BaseModel):
    """What decides the weights besides the pairs and the base model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=42, description="Of the order of the pairs, of drawn typos, of dropout.")
    epochs: int = Field(default=8, ge=1, description="Passes over the pairs at most.")
    batch: int = Field(
        default=128, ge=2, description="Pairs of a batch at most: all others of it are negatives."
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak of AdamW's; left out, 3e-2 for character n-grams and 5e-5 for others.",
    )
    warm_up: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps before the peak.")
    scale: float = Field(default=20.0, gt=0, description="Of the cosines, in the softmax of the loss.")
    drawn_typos: int = Field(
        default=4,
        ge=0,
        description="Typos drawn by the noise model for each correction, beside the real pairs.",
    )
    held_out: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the corrections that early stopping looks at; 0 is none.",
    )
    patience: int = Field(default=2, ge=1, description="Epochs without a better loss before training stops.")
    matryoshka: tuple[int, ...] = Field(
        default=(),
        description="Lengths to which embeddings may be cut, longest first; empty is the whole one only.",
    )
    hard_negatives: bool = Field(
        default=False,
        description="Whether each pair brings the correction nearest its own as one more negative.",
    )
    threads: int = Field(default=1, ge=1, description="CPU threads; another number can give other last bits.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to train; CUDA runs in bf16."
    )


@dataclass(frozen=True)
class Training:
    """How a training went: losses are means over an epoch, `seconds` without what came before a resumption."""

    epochs: int
    best_epoch: int
    steps: int
    pairs_seen: int
    seconds: float
    losses: tuple[float, ...]
    held_out_losses: tuple[float, ...]
    device: str

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        return {**self.__dict__, "losses": list(self.losses), "held_out_losses": list(self.held_out_losses)}


@dataclass(frozen=True)
class Example:
    """A pair as the loss sees it; no two examples of a batch share a group, nor is one's `negative` of another's."""

    typo: str
    corrected: str
    group: int
    negative: str | None = None
    negative_group: int | None = None


def train(
    model: SentenceTransformer,
    pairs: Sequence[Pair],
    options: TrainingOptions,
    *,
    weights: Sequence[float] | None = None,
    checkpoints: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Training:
    """Train a model in place; it ends with the weights of its best epoch.

    `weights`, one per pair, say how often a pair is taken in an epoch relative to the others: of a pair with weight
    0.25 a quarter of the epochs see it, drawn by the seed. With `checkpoints` the state after each epoch is kept in
    that folder, and a training that was killed goes on after the last whole epoch, to the same result as one that was
    not; the folder is removed at the end. `on_progress` gets the epochs done and to do.

    Raises:
        NothingToTrainOn: there are not two pairs of different corrections.
        ForeignCheckpoint: the checkpoint is of other pairs or options.
    """
    import torch

    examples, held_out = prepare(pairs, options, weights)
    groups = {example.group for example, _ in examples}
    if len(groups) < 2:
        raise NothingToTrainOn(
            f"{len(pairs)} pairs have {len(groups)} groups of corrections; a batch needs two. Wait for more pairs."
        )
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(device == "cpu")
    try:
        model.to(device)
        return _Loop(model, examples, held_out, options, device, checkpoints).run(on_progress)
    finally:
        model.to("cpu")
        model.eval()
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def prepare(
    pairs: Sequence[Pair], options: TrainingOptions, weights: Sequence[float] | None = None
) -> tuple[list[tuple[Example, float]], list[Example]]:
    """The examples to train on with their weights, and those that early stopping looks at, of other corrections."""
    real = [(pair, weight) for pair, weight in zip(pairs, weights or [1.0] * len(pairs), strict=True)]
    drawn = noisy_pairs((pair.entry for pair in pairs), options.drawn_typos, options.seed)
    every = [*real, *((pair, 1.0) for pair in drawn)]
    every = [(pair, weight) for pair, weight in every if _typo(pair) != _correction(pair)]
    group_of = _groups([pair for pair, _ in every])
    negatives = _nearest(every, group_of) if options.hard_negatives else {}
    examples = []
    for pair, weight in every:
        own = _correction(pair)
        other = negatives.get(own)
        examples.append(
            (Example(_typo(pair), own, group_of[own], other, group_of[other] if other else None), weight)
        )
    groups = sorted(set(group_of.values()))
    random.Random(options.seed).shuffle(groups)  # noqa: S311
    apart = set(groups[: round(len(groups) * options.held_out)]) if len(groups) >= 20 else set()
    return (
        [(example, weight) for example, weight in examples if example.group not in apart],
        [example for example, _ in examples if example.group in apart],
    )


def batches(examples: Sequence[Example], size: int, order: random.Random) -> list[list[Example]]:
    """All examples in an order of the generator, in batches in which nothing right counts as wrong.

    An example goes into the first open batch that has none of its texts' groups; a batch of one, which teaches
    nothing, is left out.
    """
    shuffled = list(examples)
    order.shuffle(shuffled)
    done: list[list[Example]] = []
    filling: list[_Batch] = []
    for example in shuffled:
        batch = next((batch for batch in filling if batch.can_take(example)), None)
        if batch is None:
            batch = _Batch()
            filling.append(batch)
        batch.take(example)
        if len(batch.examples) == size:
            done.append(batch.examples)
            filling.remove(batch)
    done += [batch.examples for batch in filling if len(batch.examples) > 1]
    order.shuffle(done)
    return done


class _Batch:
    """A batch that is being filled, and the groups of its texts."""

    def __init__(self) -> None:
        self.examples: list[Example] = []
        self._groups: set[int] = set()
        self._negative_groups: set[int] = set()

    def can_take(self, example: Example) -> bool:
        taken = example.group in self._groups or example.group in self._negative_groups
        return not taken and example.negative_group not in self._groups

    def take(self, example: Example) -> None:
        self.examples.append(example)
        self._groups.add(example.group)
        if example.negative_group is not None:
            self._negative_groups.add(example.negative_group)


class _Loop:
    """One training: the state that a checkpoint holds, and the steps that change it."""

    def __init__(
        self,
        model: SentenceTransformer,
        examples: list[tuple[Example, float]],
        held_out: list[Example],
        options: TrainingOptions,
        device: str,
        checkpoints: Path | None,
    ) -> None:
        import torch
        from sentence_transformers.sentence_transformer.losses import (
            MatryoshkaLoss,
            MultipleNegativesRankingLoss,
        )

        torch.manual_seed(options.seed)
        self.model, self.examples, self.options, self.device = model, examples, options, device
        self.loss: torch.nn.Module = MultipleNegativesRankingLoss(
            model,
            scale=options.scale,
            directions=("query_to_doc", "doc_to_query"),
            partition_mode="per_direction",
        )
        if options.matryoshka:
            self.loss = MatryoshkaLoss(model, self.loss, list(options.matryoshka))
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=_rate(model, options), weight_decay=0.0)
        self.peak = _rate(model, options)
        # The held-out batches are the same in every epoch, so that their losses compare.
        self.held_out = batches(held_out, options.batch, random.Random(options.seed))  # noqa: S311
        self.file = checkpoints / _CHECKPOINT if checkpoints else None
        self.identity = _identity(examples, options)
        self.epoch, self.step, self.pairs_seen = 0, 0, 0
        self.losses: list[float] = []
        self.held_out_losses: list[float] = []
        self.best: dict[str, Any] | None = None
        self.best_epoch = 0

    def run(self, on_progress: Callable[[int, int], None] | None) -> Training:
        started = time.perf_counter()
        if self.file is not None:
            self._resume()
        while self.epoch < self.options.epochs and not self._stopped():
            self._train_epoch()
            if self.file is not None:
                self._keep()
            if on_progress is not None:
                on_progress(self.epoch, self.options.epochs)
        if self.best is not None:
            self.model.load_state_dict(self.best)
        if self.file is not None:
            shutil.rmtree(self.file.parent, ignore_errors=True)
        return Training(
            epochs=self.epoch,
            best_epoch=self.best_epoch,
            steps=self.step,
            pairs_seen=self.pairs_seen,
            seconds=time.perf_counter() - started,
            losses=tuple(self.losses),
            held_out_losses=tuple(self.held_out_losses),
            device=self.device,
        )

    def _train_epoch(self) -> None:
        # All that is drawn in an epoch depends on the seed and its number, so a resumed one draws the same.
        import torch

        order = random.Random(f"{self.options.seed}\0{self.epoch}")  # noqa: S311
        torch.manual_seed(self.options.seed + self.epoch)
        taken = [example for example, weight in self.examples if weight >= 1 or order.random() < weight]
        planned = batches(taken, self.options.batch, order)
        total = 0.0
        self.model.train()
        for number, batch in enumerate(planned):
            done = (self.epoch + number / len(planned)) / self.options.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.peak * _schedule(done, self.options.warm_up)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_GRADIENT)
            self.optimizer.step()
            total += float(loss.detach())
            self.step += 1
            self.pairs_seen += len(batch)
        self.losses.append(total / max(len(planned), 1))
        self.epoch += 1
        self._look_at_held_out()

    def _look_at_held_out(self) -> None:
        import torch

        if not self.held_out:
            self.best_epoch = self.epoch
            return
        self.model.eval()
        with torch.no_grad():
            loss = sum(float(self._loss(batch)) for batch in self.held_out) / len(self.held_out)
        self.held_out_losses.append(loss)
        if loss == min(self.held_out_losses):
            self.best_epoch = self.epoch
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _stopped(self) -> bool:
        return bool(self.held_out) and self.epoch - self.best_epoch >= self.options.patience

    def _loss(self, batch: list[Example]) -> Any:
        import torch

        sides = [[example.typo for example in batch], [example.corrected for example in batch]]
        if all(example.negative is not None for example in batch):
            sides.append([example.negative or "" for example in batch])
        features = [
            {
                name: value.to(self.device)
                for name, value in self.model.preprocess(side).items()
                if hasattr(value, "to")
            }
            for side in sides
        ]
        precision = torch.autocast("cuda", torch.bfloat16) if self.device == "cuda" else nullcontext()
        with precision:
            return self.loss(features, None)

    def _keep(self) -> None:
        import torch

        assert self.file is not None  # noqa: S101
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "figures": [self.epoch, self.step, self.pairs_seen, self.best_epoch],
            "losses": self.losses,
            "held_out_losses": self.held_out_losses,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.file)

    def _resume(self) -> None:
        import torch

        assert self.file is not None  # noqa: S101
        if not self.file.exists():
            return
        state = torch.load(self.file, map_location=self.device, weights_only=True)
        if state["identity"] != self.identity:
            raise ForeignCheckpoint(
                f"{self.file} is of a training with other pairs or options. Delete {self.file.parent} to start anew."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        self.epoch, self.step, self.pairs_seen, self.best_epoch = state["figures"]
        self.losses, self.held_out_losses = state["losses"], state["held_out_losses"]


def _rate(model: SentenceTransformer, options: TrainingOptions) -> float:
    from automend_assets.datasets.typos.encoder import CharacterNgrams

    return options.learning_rate or (3e-2 if isinstance(model[0], CharacterNgrams) else 5e-5)


def _schedule(done: float, warm_up: float) -> float:
    """Linear up to the peak, then linear down; never 0, for the first step is to count too."""
    if done < warm_up:
        return max(done / warm_up, 0.01)
    return max((1 - done) / (1 - warm_up), 0.01)


def _identity(examples: list[tuple[Example, float]], options: TrainingOptions) -> str:
    from hashlib import sha256

    return sha256(repr((examples, options.model_dump(exclude={"device"}))).encode()).hexdigest()


def _typo(pair: Pair) -> str:
    return prompted(pair.typo, pair.domain)


def _correction(pair: Pair) -> str:
    return prompted(pair.corrected, pair.domain)


def _groups(pairs: Sequence[Pair]) -> dict[str, int]:
    """The number of each text's group: texts that pairs join, by however many steps, are never negatives."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            parent[text] = text = parent[parent[text]]
        return text

    for pair in pairs:
        parent[root(_typo(pair))] = root(_correction(pair))
    numbers: dict[str, int] = {}
    return {text: numbers.setdefault(root(text), len(numbers)) for text in parent}


def _nearest(every: Sequence[tuple[Pair, float]], group_of: dict[str, int]) -> dict[str, str]:
    """For each correction the one of its domain and another group at the least edit distance."""
    import numpy as np
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    nearest = {}
    for domain in sorted({pair.domain for pair, _ in every}):
        texts = list(
            {_correction(pair): normalised(pair.corrected) for pair, _ in every if pair.domain == domain}
        )
        groups = np.array([group_of[text] for text in texts])
        for start in range(0, len(texts), 512):
            some = texts[start : start + 512]
            likeness = process.cdist(some, texts, scorer=Levenshtein.normalized_similarity, dtype=np.float32)
            likeness[groups[start : start + 512, None] == groups[None, :]] = -1
            for text, best in zip(some, likeness.argmax(axis=1), strict=True):
                if groups[best] != group_of[text]:
                    nearest[text] = texts[best]
    return nearest
