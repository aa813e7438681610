"""The dataset of typos as a user makes it: versions, what is promoted and what is not, and undoing it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import polars as pl
import pytest

from automend_assets.connectors.interactions.log import Correction
from automend_assets.connectors.interactions.sqlite import SqliteLog
from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.source import sample_path
from automend_assets.datasets.typos.texts import Entry, Pair
from automend_assets.storage.quarantine import count_by_reason
from automend_assets_tests.workplace import REALDATA, Workplace

FILES = (
    "interactions.parquet",
    "training_pairs.parquet",
    "quarantine.parquet",
    "bias_report.json",
    "base_model.zip",
    "finetuned_model.zip",
    "evaluation.json",
    "promotion.json",
    "published_model.json",
    "run_summary.json",
    "release.json",
    "README.md",
    "manifest.json",
)


def new_names() -> list[Entry]:
    """Real makes, of which the bundled sample has a part."""
    with (REALDATA / "typos" / "makes_models.csv").open(encoding="utf-8", newline="") as file:
        return [Entry(make, "brand") for make in sorted({row["make"] for row in csv.DictReader(file)})][:150]


def write(file: Path, pairs: list[Pair]) -> Path:
    pl.DataFrame(pairs, schema=list(Pair._fields), orient="row").write_csv(file)
    return file


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A place with three versions: the bundled sample, the same rows again, and corrections to new names."""
    place = Workplace(tmp_path_factory.mktemp("typos"), "typos")
    assert place.build() == "v0001"
    again = place.folder / "again.csv"
    again.write_bytes(sample_path().read_bytes())
    assert place.build("--source", "file", "--path", str(again)) == "v0002"
    new = write(place.folder / "new.csv", noisy_pairs(new_names(), 4, seed=3, known=new_names()))
    assert place.build("--source", "file", "--path", str(new)) == "v0003"
    return place


def in_use(place: Workplace) -> str:
    (found,) = re.findall(r"│ (v\d{4}) in use", place.automend("models", "list").out)
    return str(found)


def test_a_version_is_made_of_its_rows_and_of_those_before(workplace: Workplace) -> None:
    rows, pairs = (workplace.frame("v0001", f"{name}.parquet") for name in ("interactions", "training_pairs"))
    refused = workplace.frame("v0001", "quarantine.parquet")
    assert rows.height == 1_500
    assert rows.height == pairs.height + refused.height
    assert set(rows["row_number"]) == {*pairs["row_number"], *refused["row_number"]}
    assert set(count_by_reason(refused.lazy())["training_pairs"]) == {
        *("contradictory", "control_characters", "empty", "identical", "too_long", "unknown_domain")
    }
    facts = workplace.json("v0003", "evaluation.json")
    assert facts["against"] == "v0001"
    summary = workplace.json("v0003", "run_summary.json")
    assert all(check["passed"] for check in summary["checks"]["schema"])
    metrics = workplace.json("v0003", "release.json")["metrics"]
    assert metrics["unseen.new_serving.recall_at_1"] > 0.9
    # The same pairs again change nothing but their weights; the new ones are among what is known.
    assert workplace.json("v0003", "evaluation.json")["candidates"] > 400


def test_what_is_better_is_promoted_and_what_is_not_is_a_normal_end(workplace: Workplace) -> None:
    first, second, third = (
        workplace.json(version, "promotion.json") for version in ("v0001", "v0002", "v0003")
    )
    assert (first["promoted"], first["against"]) == (True, None)
    assert (second["promoted"], second["against"]) == (False, "v0001")
    assert second["reason"].startswith(("Not better beyond noise", "Worse in"))
    assert workplace.json("v0002", "published_model.json") == {
        "published": False,
        "reason": f"not promoted: {second['reason']}",
    }
    assert (third["promoted"], third["against"]) == (True, "v0001")
    assert "AUTOMEND_HUB_MODEL_REPO" in workplace.json("v0003", "published_model.json")["reason"]
    told = workplace.automend("materialize", "typos", "v0002")
    assert told.code == 0
    assert "warning  typos/promotion:promoted" in told.err


def test_made_again_a_version_has_the_same_bytes_and_does_not_come_back_into_use(
    workplace: Workplace,
) -> None:
    before = {
        version: {name: workplace.bytes(version, name) for name in FILES} for version in ("v0001", "v0003")
    }
    for version, files in before.items():
        (workplace.folder / "store" / "typos" / version / "finetuned_model.zip").unlink()
        assert workplace.materialize(version).code == 0
        assert {name: workplace.bytes(version, name) for name in FILES} == files
    assert in_use(workplace) == "v0003"


def test_a_promotion_is_undone_and_done_by_hand(workplace: Workplace) -> None:
    assert workplace.automend("models", "rollback", "--reason", "complaints").code == 0
    assert in_use(workplace) == "v0001"
    told = workplace.automend("models", "rollback")
    assert told.code == 1
    assert "before v0001" in told.err
    assert workplace.automend("models", "promote", "v0003").code == 0
    assert in_use(workplace) == "v0003"
    listed = workplace.automend("models", "list")
    assert "rolled back: v0003 to v0001" in listed.err
    assert "promoted by hand: v0001 to v0003" in listed.err
    told = workplace.automend("models", "promote", "v0009")
    assert told.code == 1
    assert "typos has no version 'v0009'" in told.err


def test_any_pairs_are_measured(workplace: Workplace) -> None:
    real = REALDATA / "typos" / "typo_training_dataset.csv"
    told = workplace.automend("evaluate", "typos", "--pairs", str(real))
    measured = json.loads(told.out)
    assert measured["version"] == "v0003"
    for way in ("in_use", "serving", "edit_distance"):
        figures = measured[way]
        assert figures["pairs"] == 73
        for part in (figures, *figures["by_domain"].values()):
            assert 0 <= part["recall_at_1"] <= part["recall_at_5"] <= 1
            assert part["recall_at_1"] <= part["mrr"] <= 1
    assert measured["serving"]["recall_at_1"] > measured["edit_distance"]["recall_at_1"]
    other = json.loads(
        workplace.automend(
            "evaluate", "typos", "--pairs", str(real), "--candidates", str(real), "--version", "v0001"
        ).out
    )
    assert (other["version"], other["candidates"]) == ("v0001", 30)

    wrong = workplace.folder / "wrong.csv"
    wrong.write_text("typo,domain\nx,brand\n")
    told = workplace.automend("evaluate", "typos", "--pairs", str(wrong))
    assert (told.code, told.out) == (1, "")
    assert "has no column corrected" in told.err
    assert workplace.automend("evaluate", "glaive", "--pairs", str(real)).code == 2
    told = workplace.automend("evaluate", "typos", "--pairs", str(real), "--version", "v0009")
    assert "no version 'v0009'" in told.err


def test_a_model_is_measured_before_there_is_one(tmp_path: Path) -> None:
    place = Workplace(tmp_path, "typos")
    real = REALDATA / "typos" / "typo_training_dataset.csv"
    told = place.automend("evaluate", "typos", "--pairs", str(real))
    assert json.loads(told.out)["version"] is None
    assert "untrained" in told.err
    assert "There is no model yet" in place.automend("models", "list").err


def test_what_is_new_in_the_log_is_cut_by_hand(workplace: Workplace) -> None:
    told = workplace.automend("cut", "typos", "--source", "log")
    assert told.code == 1
    assert "There are no interactions yet" in told.err
    with SqliteLog(Path(workplace.environment["AUTOMEND_INTERACTIONS"])) as log:
        log.add([Correction("tyota", "Toyota", "brand"), Correction("", "Toyota", "brand")])
    version = workplace.cut("--source", "log")
    manifest = workplace.json(version, "manifest.json")
    assert manifest["source"]["kind"] == "log"
    assert (manifest["source"]["rows"], manifest["source"]["lo"]) == (2, 0)
    # The model in use is what it starts from, pinned.
    assert manifest["options"]["base"]["kind"] == "promoted"
    assert manifest["options"]["base"]["version"] == "v0003"
    assert workplace.materialize(version).code == 0
    assert workplace.refused(version) == [(2, "training_pairs", "empty")]
    told = workplace.automend("cut", "typos", "--source", "log")
    assert "has no settled rows after id 2" in told.err


def test_options_and_sources_that_there_are_not_are_told(workplace: Workplace) -> None:
    for arguments, words in (
        (("--source", "hub"), "use --source sample, file or log"),
        (("--source", "file", "--path", "/does/not/exist.csv"), "cannot be opened"),
        (("--options", '{"base": "best"}'), "There is no base model 'best'"),
        (("--options", '{"base": "hub"}'), "AUTOMEND_HUB_MODEL_REPO names no repo"),
        (("--options", '{"base": "folder:/tmp/nowhere"}'), "no sentence-transformers model"),
    ):
        told = workplace.automend("cut", "typos", *arguments)
        assert told.code == 1
        assert words in told.err
    assert workplace.automend("cut", "typos", "--options", "[1]").code == 2
    assert workplace.automend("cut", "typos", "--options", "{").code == 2
