"""The noise channel against a plain, slow definition of the same costs, and the order it puts corrections in."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest

from automend_assets.datasets.typos import channel as channel_module
from automend_assets.datasets.typos.channel import Channel
from automend_assets.datasets.typos.noise import Noise, noisy_pairs
from automend_assets.datasets.typos.texts import Entry


def _cost(typed: str, meant: str) -> float:
    return float(Channel([meant]).costs([typed], np.zeros((1, 1), np.int64))[0, 0])


def _by_definition(typed: str, meant: str) -> float:
    """The cheapest way from `meant` to `typed`, by recursion over every kind of error."""
    substitutions, insertions = channel_module._SUBSTITUTIONS, channel_module._INSERTIONS
    one, other = channel_module._codes(typed), channel_module._codes(meant)

    @cache
    def cheapest(at: int, to: int) -> int:
        ways = [0] if not at and not to else []
        if to:
            char = meant[to - 1]
            separator = char in channel_module._SEPARATORS
            cost = channel_module._OMITTED_SEPARATOR if separator else channel_module._OMISSION
            if to > 1 and char == meant[to - 2]:
                cost = min(cost, channel_module._OMITTED_REPEAT)
            ways.append(cheapest(at, to - 1) + int(cost))
            ways += [
                cheapest(at, since)
                + int(channel_module._ABBREVIATION)
                + (to - since) * int(channel_module._ABBREVIATED_CHARACTER)
                for since in range(to)
            ]
        if at:
            before = int(other[to - 1]) if to else 0
            after = int(other[to]) if to < len(other) else 0
            ways.append(
                cheapest(at - 1, to) + int(insertions[one[at - 1], before * channel_module._SIZE + after])
            )
        if at and to:
            ways.append(cheapest(at - 1, to - 1) + int(substitutions[one[at - 1], other[to - 1]]))
        if at > 1 and to > 1 and typed[at - 2 : at] == meant[to - 2 : to][::-1]:
            ways.append(cheapest(at - 2, to - 2) + int(channel_module._TRANSPOSITION))
        for spelling, intended, cost in channel_module._RULES:
            if typed.endswith(spelling, 0, at) and meant.endswith(intended, 0, to):
                ways.append(cheapest(at - len(spelling), to - len(intended)) + int(cost))
        return min(ways)

    return cheapest(len(typed), len(meant)) * channel_module._UNIT


def test_costs_are_those_of_the_definition(names: list[Entry]) -> None:
    pairs = noisy_pairs(names[::3], 1, 1, Noise(second=0.5))
    meant = [pair.corrected for pair in pairs]
    rng = random.Random(2)  # noqa: S311
    rows = np.array([[at, *rng.sample(range(len(pairs)), 3)] for at in range(len(pairs))])
    found = Channel(meant).costs([pair.typo for pair in pairs], rows)
    for at, pair in enumerate(pairs):
        wanted = [
            _by_definition(channel_module.folded(pair.typo), channel_module.folded(meant[row]))
            for row in rows[at]
        ]
        assert found[at] == pytest.approx(wanted, abs=1e-4), pair


def test_one_text_at_a_time_costs_what_many_do(names: list[Entry]) -> None:
    channel = Channel([entry.text for entry in names])
    rows = np.arange(len(names))[None, :]
    typed = ["civic", "", "e-mas seven", "x" * 500, "ё車"]
    together = channel.costs(typed, np.repeat(rows, len(typed), axis=0))
    for text, costs in zip(typed, together, strict=True):
        assert channel.costs([text], rows)[0] == pytest.approx(costs)


@pytest.mark.parametrize(
    ("typed", "likelier", "than"),
    [
        ("cicic", "Civic", "Cynic"),  # a neighbouring key
        ("vi0s", "Vios", "Vibs"),  # a shape
        ("aksia", "Axia", "Alsea"),  # a sound
        ("ciity", "City", "Cixty"),  # a key that stuck
        ("toyoat", "Toyota", "Toyoak"),  # two keys in the wrong order
        ("cx30", "CX-30", "CX430"),  # a separator
        ("x fifty", "X50", "X Fits"),  # a number spelt out
        ("benz", "Mercedes-Benz", "BYD"),  # an abbreviation
        ("citroen c4", "Citroën C4", "Citroën C5"),  # an accent
    ],
)
def test_the_likelier_error_costs_less(typed: str, likelier: str, than: str) -> None:
    assert _cost(typed, likelier) < _cost(typed, than)


def test_the_same_text_costs_nothing_and_nothing_else_does() -> None:
    assert _cost("Mercedes-Benz", "MERCEDES-BENZ") == 0
    assert _cost("x70", "X90") > 0
    assert _cost("車", "種") > 0
