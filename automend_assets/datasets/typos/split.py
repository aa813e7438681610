"""Which pairs are trained on and which are kept for testing.

What belongs here: the two tests and how a pair gets into one. What does not: the part of the training pairs that early
stopping looks at (`training.py`).

Whether a pair may be trained on is decided by the seed and its own texts, so it never moves from the training of one
version to the test of a later one. Were a pair for the test trained on as long as it is its correction's only one, it
would move as soon as another comes, and the model in use would be tested on what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from automend_assets.datasets.typos.texts import Pair, normalised


@dataclass(frozen=True)
class Split:
    """`unseen` has corrections that no training pair has on either side; `seen` has other typos of trained ones.

    `set_aside` are pairs that would give a correction of `unseen` away, for what was typed is that correction itself,
    and pairs for the test of seen corrections whose correction no training pair has yet.
    """

    training: tuple[Pair, ...]
    seen: tuple[Pair, ...]
    unseen: tuple[Pair, ...]
    set_aside: tuple[Pair, ...]


def split(pairs: Sequence[Pair], *, seed: int, unseen: float = 0.2, seen: float = 0.1) -> Split:
    """Split pairs by correction: `unseen` is a share of the corrections, `seen` one of the pairs of all others.

    Case, width and white space make no difference. The same correction in two domains has one place, as have pairs
    that say the same, in one domain or in two. A pair that is drawn for a test is trained on under no circumstances,
    whatever other pairs there are: with the same seed no test, now or later, has a pair that a model was trained on.
    """
    tested = {
        text: _drawn(seed, "correction", text) < unseen
        for text in {normalised(pair.corrected) for pair in pairs}
    }
    parts: dict[str, list[Pair]] = {"training": [], "seen": [], "unseen": [], "set_aside": []}
    later = []
    for pair in pairs:
        typo, corrected = normalised(pair.typo), normalised(pair.corrected)
        if tested[corrected]:
            parts["unseen"].append(pair)
        elif tested.get(typo, False):
            parts["set_aside"].append(pair)
        elif _drawn(seed, "pair", typo, corrected) < seen:
            later.append(pair)
        else:
            parts["training"].append(pair)
    trained = {(pair.domain, normalised(pair.corrected)) for pair in parts["training"]}
    for pair in later:
        known = (pair.domain, normalised(pair.corrected)) in trained
        parts["seen" if known else "set_aside"].append(pair)
    return Split(**{name: tuple(part) for name, part in parts.items()})


def _drawn(seed: int, *texts: str) -> float:
    """A number from 0 to 1 that nothing but the seed and the texts decides."""
    digest = blake2b("\0".join((str(seed), *texts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
