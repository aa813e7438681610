"""Which pairs are trained on and which are kept for testing.

What belongs here: the two tests and how a pair gets into one. What does not: the part of the training pairs that early
stopping looks at (`training.py`).

A pair's place depends on the seed and its own texts only, so it stays where it is when later versions bring more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from automend_assets.datasets.typos.texts import Pair, normalised


@dataclass(frozen=True)
class Split:
    """`unseen` has corrections that no training pair has on either side; `seen` has other typos of trained ones.

    `set_aside` are pairs that would give a correction of `unseen` away: what was typed is that correction itself.
    """

    training: tuple[Pair, ...]
    seen: tuple[Pair, ...]
    unseen: tuple[Pair, ...]
    set_aside: tuple[Pair, ...]


def split(
    pairs: Sequence[Pair],
    *,
    seed: int,
    unseen: float = 0.2,
    seen: float = 0.1,
    since: Sequence[int] | None = None,
) -> Split:
    """Split pairs by correction: `unseen` is a share of the corrections, `seen` one of the pairs of all others.

    Case, width and white space make no difference. The same correction in two domains has one place, as have pairs
    that say the same; a pair is tested as seen only if another pair of its correction is left to train on.

    `since` says when each pair came in. Then that other pair has to be as old at least: whoever splits again when there
    are more pairs never tests what an earlier model was trained on.
    """
    tested = {
        text: _drawn(seed, "correction", text) < unseen
        for text in {normalised(pair.corrected) for pair in pairs}
    }
    parts: dict[str, list[Pair]] = {"training": [], "seen": [], "unseen": [], "set_aside": []}
    later = []
    trained: dict[tuple[str, str], int] = {}
    for pair, age in zip(pairs, since or [0] * len(pairs), strict=True):
        typo, corrected = normalised(pair.typo), normalised(pair.corrected)
        if tested[corrected]:
            parts["unseen"].append(pair)
        elif tested.get(typo, False):
            parts["set_aside"].append(pair)
        elif _drawn(seed, "pair", pair.domain, typo, corrected) < seen:
            later.append((pair, age))
        else:
            parts["training"].append(pair)
            key = (pair.domain, corrected)
            trained[key] = min(age, trained.get(key, age))
    for pair, age in later:
        first = trained.get((pair.domain, normalised(pair.corrected)))
        parts["seen" if first is not None and first <= age else "training"].append(pair)
    return Split(**{name: tuple(part) for name, part in parts.items()})


def _drawn(seed: int, *texts: str) -> float:
    """A number from 0 to 1 that nothing but the seed and the texts decides."""
    digest = blake2b("\0".join((str(seed), *texts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
