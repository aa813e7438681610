"""A version's model from its base and the pairs of all versions so far: the one step from training set to artifact.

What belongs here: putting the training set, the options and the base together, and what the artifact says of itself.
What does not: which pairs are trained on (`retraining.py`), the loop (`training.py`), the file (`artifact.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from automend_assets.datasets.typos.artifact import ModelArtifact
from automend_assets.datasets.typos.options import TyposOptions
from automend_assets.datasets.typos.retraining import TrainingSet
from automend_assets.datasets.typos.training import ForeignCheckpoint, Training, train


def finetune(
    base: ModelArtifact,
    chosen: TrainingSet,
    options: TyposOptions,
    *,
    versions: Sequence[str],
    checkpoints: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[ModelArtifact, Training]:
    """Train the base's model in place; its artifact knows every correction of the training set, and how it was made.

    `versions` are those whose pairs are in the training set. A training that was killed goes on from `checkpoints`;
    a checkpoint of other pairs or options is thrown away. Nothing in the artifact depends on the clock.

    Raises NothingToTrainOn.
    """

    def run() -> Training:
        return train(
            base.model,
            chosen.split.training,
            options.training,
            weights=chosen.weights,
            checkpoints=checkpoints,
            on_progress=on_progress,
        )

    try:
        training = run()
    except ForeignCheckpoint:
        shutil.rmtree(checkpoints)
        training = run()
    facts: dict[str, Any] = {
        "base": options.base.model_dump(mode="json"),
        "versions": list(versions),
        "pairs": {
            "training": len(chosen.split.training),
            "seen": len(chosen.split.seen),
            "unseen": len(chosen.split.unseen),
            "set_aside": len(chosen.split.set_aside),
            "contradictory": chosen.contradictory,
            "repeated": chosen.repeated,
        },
        "corrections": len(chosen.entries),
        "options": options.training.model_dump(mode="json"),
        "half_life": options.half_life,
        "split_seed": options.split_seed,
        "epochs": training.epochs,
        "best_epoch": training.best_epoch,
        "losses": list(training.losses),
        "held_out_losses": list(training.held_out_losses),
    }
    return ModelArtifact(base.model, list(chosen.entries), facts), training
