"""Bias: what is counted, what is said about it, and that weights and balancing do what the report promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from automend_assets.contracts.balancing import (
    WEIGHT_BOUNDS,
    balance_plan,
    repeat_rows,
    sample_weights,
    slice_values,
)
from automend_assets.contracts.bias import bias_report
from automend_assets.contracts.bias_plot import bias_plot
from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets_tests.contracts.frames import processed_records

ROWS = 5_000


@pytest.fixture(scope="module")
def records() -> pl.LazyFrame:
    return processed_records(ROWS).lazy()


@pytest.fixture(scope="module")
def report(records: pl.LazyFrame) -> dict[str, Any]:
    return bias_report(CONTRACT, records, seed=42)


def values_of(report: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    (part,) = [part for part in report["slices"] if part["name"] == name]
    return {value["value"]: value for value in part["values"]}


def plan_of(records: pl.LazyFrame, seed: int = 42, **options: Any) -> pl.DataFrame:
    return balance_plan(records, CONTRACT.slices, CONTRACT.usable, seed=seed, **options).collect()


def test_every_slice_counts_every_record(report: dict[str, Any]) -> None:
    assert [part["name"] for part in report["slices"]] == [part.name for part in CONTRACT.slices]
    for part in report["slices"]:
        assert sum(value["rows"] for value in part["values"]) == ROWS == report["rows"]
        for figure in ("share", "usable_share", "balanced_share", "weighted_share"):
            assert sum(value[figure] for value in part["values"]) == pytest.approx(1, abs=1e-5)
    tiers = values_of(report, "complexity_tier")
    assert list(tiers) == ["none", "malformed", "simple", "moderate", "complex"]
    assert [tiers[tier]["rows"] for tier in tiers] == [2_225, 10, 1_350, 525, 890]


def test_severity_follows_the_share(report: dict[str, Any]) -> None:
    for part in report["slices"]:
        for value in part["values"]:
            expected = "high" if value["share"] < 0.01 else "medium" if value["share"] < 0.05 else None
            assert value["severity"] == expected
            assert bool(value["recommendation"]) is bool(expected)
    assert {(finding["slice"], finding["value"], finding["severity"]) for finding in report["findings"]} == {
        ("complexity_tier", "malformed", "high"),
        ("turn_bucket", "6+", "medium"),
        ("call_bucket", "3+", "high"),
        ("has_parallel", "yes", "high"),
    }


@pytest.mark.parametrize(
    ("rows", "of", "severity", "word"),
    [(9, 1_000, "high", "Oversample"), (10, 1_000, "medium", "Collect 43 more"), (50, 1_000, None, None)],
)
def test_the_thresholds_are_1_and_5_percent(
    rows: int, of: int, severity: str | None, word: str | None
) -> None:
    frame = processed_records(of).with_columns(
        has_parallel=pl.col("row_number") < rows, quarantine_reason=pl.lit(None, pl.String)
    )
    value = values_of(bias_report(CONTRACT, frame.lazy(), seed=1), "has_parallel")["yes"]
    assert value["severity"] == severity
    assert (value["recommendation"] or "").startswith(word or "")


def test_what_cannot_be_oversampled_is_not_recommended_to_be(report: dict[str, Any]) -> None:
    quarantined = values_of(report, "complexity_tier")["malformed"]
    assert quarantined["usable_rows"] == 0
    assert "quarantine" in quarantined["recommendation"]
    none = processed_records(1_000).with_columns(has_parallel=pl.lit(False)).lazy()
    absent = values_of(bias_report(CONTRACT, none, seed=1), "has_parallel")["yes"]
    assert "No row has it" in absent["recommendation"]


def test_metrics_tell_how_slice_values_differ(report: dict[str, Any]) -> None:
    tiers = values_of(report, "complexity_tier")
    assert tiers["none"]["metrics"]["mean_calls"] == 0
    assert tiers["simple"]["metrics"]["mean_calls"] == 1
    assert tiers["malformed"]["metrics"]["malformed_share"] == 1


def test_a_value_that_was_not_declared_is_reported_after_the_others() -> None:
    frame = processed_records(1_000).with_columns(
        complexity_tier=pl.when(pl.col("row_number") < 3)
        .then(pl.lit("strange"))
        .when(pl.col("row_number") < 5)
        .then(None)
        .otherwise("complexity_tier")
    )
    tiers = values_of(bias_report(CONTRACT, frame.lazy(), seed=1), "complexity_tier")
    assert list(tiers)[5:] == ["(none)", "strange"]
    assert [tiers[tier]["declared"] for tier in list(tiers)[4:]] == [True, False, False]
    assert tiers["strange"]["rows"] == 3


def test_weights_have_mean_1_within_bounds_and_favour_the_rare(records: pl.LazyFrame) -> None:
    weights = sample_weights(records, CONTRACT.slices, CONTRACT.usable).collect()
    usable = records.filter(CONTRACT.usable).collect()
    assert weights["row_number"].to_list() == usable["row_number"].to_list()
    assert weights["sample_weight"].mean() == pytest.approx(1, abs=1e-6)
    assert (
        WEIGHT_BOUNDS[0]
        <= weights["sample_weight"].min()
        <= weights["sample_weight"].max()
        <= WEIGHT_BOUNDS[1]
    )
    weighed = usable.with_columns(weights["sample_weight"])
    by_parallel = dict(weighed.group_by("has_parallel").agg(pl.col("sample_weight").mean()).iter_rows())
    assert by_parallel[True] > 3 * by_parallel[False]


def test_weights_of_one_slice_are_its_inverse_frequencies() -> None:
    (parallel,) = [part for part in CONTRACT.slices if part.name == "has_parallel"]
    frame = processed_records(1_000).with_columns(has_parallel=pl.col("row_number") < 250)
    weights = sample_weights(frame.lazy(), [parallel], pl.lit(True)).collect()
    assert weights["sample_weight"].unique().sort().to_list() == pytest.approx([1 / 1.5, 2.0], abs=1e-6)


def test_the_report_is_what_the_plan_does(records: pl.LazyFrame, report: dict[str, Any]) -> None:
    balanced = repeat_rows(records, plan_of(records).lazy()).collect()
    assert balanced.height == report["balance"]["rows_out"]
    assert balanced["quarantine_reason"].null_count() == balanced.height
    for part in CONTRACT.slices:
        counted = dict(balanced.select(slice_values([part])).group_by(part.name).len().iter_rows())
        reported = values_of(report, part.name)
        assert counted == {name: v["balanced_rows"] for name, v in reported.items() if v["balanced_rows"]}
    copies = plan_of(records)["copies"]
    assert report["balance"]["rows_dropped"] == (copies == 0).sum()
    assert report["balance"]["rows_repeated"] == (copies > 1).sum()
    assert report["balance"]["largest_copies"] == copies.max()
    assert report["balance"]["effective_rows"] == pytest.approx(copies.sum() ** 2 / (copies**2).sum())


def test_balancing_lifts_the_rare_and_keeps_the_size(report: dict[str, Any]) -> None:
    for part in report["slices"]:
        for value in part["values"]:
            if value["usable_rows"] and value["usable_share"] < 0.05:
                assert value["balanced_share"] > min(0.045, 4 * value["usable_share"])
    assert report["balance"]["rows_out"] == pytest.approx(report["usable_rows"], rel=0.05)


@pytest.mark.parametrize("cap", [1, 2, 5])
def test_no_row_appears_more_often_than_the_cap(records: pl.LazyFrame, cap: int) -> None:
    assert plan_of(records, max_copies=cap)["copies"].max() == cap


def test_a_plan_depends_on_the_seed_alone(records: pl.LazyFrame) -> None:
    plan = plan_of(records)
    assert plan.equals(plan_of(records))
    assert not plan.equals(plan_of(records, seed=43))
    assert plan["copies"].sum() == plan_of(records, seed=43)["copies"].sum()
    shuffled = plan_of(records.reverse())
    assert shuffled.sort("row_number").equals(plan.sort("row_number"))


def test_copies_stand_side_by_side_in_the_frames_order(records: pl.LazyFrame) -> None:
    balanced = repeat_rows(records, plan_of(records).lazy()).collect(engine="streaming")
    assert balanced["row_number"].is_sorted()
    assert balanced.columns == records.collect_schema().names()


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_hardly_any_rows_are_no_error(rows: int) -> None:
    frame = processed_records(1_000).filter(CONTRACT.usable).tail(rows).lazy()
    found = bias_report(CONTRACT, frame, seed=1)
    assert found["balance"]["rows_out"] == plan_of(frame)["copies"].sum() == rows
    assert sample_weights(frame, CONTRACT.slices, CONTRACT.usable).collect().height == rows
    assert bias_plot(found).startswith(b"\x89PNG")


def test_a_report_is_the_same_twice_however_it_is_read(
    records: pl.LazyFrame, report: dict[str, Any], tmp_path: Path
) -> None:
    records.sink_parquet(tmp_path / "records.parquet", row_group_size=700)
    again = bias_report(CONTRACT, pl.scan_parquet(tmp_path / "records.parquet"), seed=42)
    assert json.dumps(again) == json.dumps(report)
    assert bias_plot(again) == bias_plot(report)


def test_the_plot_is_a_picture_of_a_readable_size(report: dict[str, Any], tmp_path: Path) -> None:
    from matplotlib.image import imread

    (tmp_path / "bias.png").write_bytes(bias_plot(report))
    height, width = imread(tmp_path / "bias.png").shape[:2]
    assert width == 1_000
    assert 500 < height < 1_200
