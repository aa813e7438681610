"""The parser against rows whose truth is known: everything that is there is found, nothing else.

`AUTOMEND_TEST_ROWS` sets how many rows; `benchmarks/glaive_ground_truth.py` prints the figures for all 112,960.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import orjson
import polars as pl
import pytest

ROWS = int(os.environ.get("AUTOMEND_TEST_ROWS", "4000"))
SCRIPT = Path(__file__).parents[3] / "benchmarks/glaive_ground_truth.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("glaive_ground_truth", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# Seed 42 is the bundled sample; the other one nobody has looked at while writing the parser.
@pytest.mark.parametrize("seed", [42, 20_261_121])
def test_everything_is_found_as_it_was_meant(benchmark: ModuleType, seed: int) -> None:
    comparison = benchmark.compare(ROWS, seed)
    counts = comparison.counts
    assert comparison.differences == {}
    assert counts["rows in"] == counts["rows processed"] + counts["rows refused before parsing"] == ROWS
    assert counts["rows processed"] == counts["rows in chatml"] + counts["rows withheld from the chat forms"]
    assert counts["rows in chatml"] == counts["rows in tool_messages"]
    assert counts["functions found"] == counts["functions declared"] > ROWS / 2
    assert counts["well_formed calls found"] == counts["well_formed calls"] > ROWS / 2
    assert counts["unusable calls flagged"] == counts["unusable calls"] > 0


@pytest.mark.parametrize(
    ("column", "damage", "noticed"),
    [
        ("function_calls", "[]", "num_calls"),
        ("tools", None, "functions"),
        ("workflow", '[{"content":""},{"content":"{\\"workflow\\":{\\"steps\\":[]}}"}]',
         "calls of the row in chatml"),
        ("conversation", '[{"role":"user","content":"cut"}]', "every turn, uncut and in order"),
        ("complexity_tier", "none", "complexity_tier"),
        ("quarantine_reason", "whim", "row without damage in both chat forms"),
    ],
)  # fmt: skip
def test_a_parser_that_loses_something_is_noticed(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, column: str, damage: str | None, noticed: str
) -> None:
    parse_batch = benchmark.parse_batch

    def lossy(raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        processed, quarantine = parse_batch(raw)
        with_calls = pl.col("num_calls") > 0
        broken = pl.when(with_calls).then(pl.lit(damage, pl.String)).otherwise(pl.col(column)).alias(column)
        return processed.with_columns(broken), quarantine

    monkeypatch.setattr(benchmark, "parse_batch", lossy)
    assert benchmark.compare(60).differences[noticed]


def test_the_script_prints_figures_and_ends_with_ratios(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["glaive_ground_truth.py", "--rows", "200"])
    assert benchmark.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "rows in: 200" in lines
    assert lines[-1].startswith("ratio: 1.000000 ")
    assert orjson.loads(lines[-2].split()[1]) == 1
