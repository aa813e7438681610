"""Trains as the tests do, in a process that kills itself after an epoch: `training_worker.py FOLDER EPOCH`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from automend_assets.datasets.typos.encoder import character_model
from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.sample import entries
from automend_assets.datasets.typos.texts import Pair
from automend_assets.datasets.typos.training import TrainingOptions, train

OPTIONS = TrainingOptions(epochs=4, drawn_typos=2, device="cpu")


def pairs() -> list[Pair]:
    """The pairs that are trained on."""
    return noisy_pairs(entries()[::3], 2, 5)


def main() -> None:
    """Train, and die without a word once the epoch is done."""
    folder, last = Path(sys.argv[1]), int(sys.argv[2])

    def die(done: int, _: int) -> None:
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)

    train(character_model(seed=1, dimensions=64), pairs(), OPTIONS, checkpoints=folder, on_progress=die)


if __name__ == "__main__":
    main()
