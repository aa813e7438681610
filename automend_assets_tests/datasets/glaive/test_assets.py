"""The whole Glaive graph on the bundled sample: what comes out, and that it comes out the same every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import dagster as dg
import yaml

from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets_tests.workplace import ASSETS, FILES, Workplace

ROWS = 400
RECONCILED = ("processed_records", "chatml", "tool_messages")


def test_every_asset_is_a_file_of_the_promised_name(built: Workplace) -> None:
    assert built.artifacts("v0001").keys() == set(FILES)
    folder = Path(built.store.url("glaive", "v0001", "release.json")).parent
    others = {path.name for path in folder.iterdir()} - set(FILES)
    assert others == {f"{name}.dvc" for name in FILES if name != "release.json"} | {"metrics.json"}
    with built.instance() as instance:
        for asset in ASSETS:
            key = dg.AssetKey(["glaive", asset])
            assert instance.get_materialized_partitions(key) == {"v0001"}, asset


def test_every_check_ran_and_passed(built: Workplace) -> None:
    wanted = {
        ("processed_records", check.name)
        for check in (*CONTRACT.expectations, *CONTRACT.anomalies, *CONTRACT.rates)
    } | {(asset, "rows_reconcile") for asset in RECONCILED}
    assert len(wanted) == 30 + 6 + 1 + 3
    with built.instance() as instance:
        events = instance.get_records_for_run(
            _run_id(instance), of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
    evaluations = [record.event_log_entry.asset_check_evaluation for record in events.records]
    found = [evaluation for evaluation in evaluations if evaluation is not None]
    assert {(each.asset_key.path[1], each.check_name) for each in found} == wanted
    assert all(each.passed for each in found)


def test_every_row_is_accounted_for(built: Workplace) -> None:
    raw = set(built.frame("v0001", "raw_sample.parquet")["row_number"])
    processed = built.frame("v0001", "processed_records.parquet")
    refused = built.refused("v0001")
    assert len(raw) == ROWS
    unparsed = {row for row, stage, _ in refused if stage == "processed_records"}
    unusable = {row for row, stage, _ in refused if stage == "chatml"}
    assert set(processed["row_number"]) == raw - unparsed
    assert len(processed) == len(raw) - len(unparsed)
    for form in ("chatml.jsonl", "tool_messages.jsonl"):
        assert len(built.lines("v0001", form)) == len(processed) - len(unusable)
    assert unusable == set(processed.filter(processed["quarantine_reason"].is_not_null())["row_number"])


def test_the_summary_tells_what_the_files_hold(built: Workplace) -> None:
    summary = built.json("v0001", "run_summary.json")
    assert summary["dataset"] == "glaive"
    assert summary["version"] == "v0001"
    assert summary["manifest_sha256"] == hashlib.sha256(built.bytes("v0001", "manifest.json")).hexdigest()
    assert summary["source"]["kind"] == "sample"
    rows = {name: rows for name, rows in summary["rows"].items() if rows is not None}
    assert rows == {
        name: len(
            built.frame("v0001", f"{name}.parquet")
            if name in ("raw_sample", "processed_records", "quarantine")
            else built.lines("v0001", f"{name}.jsonl")
        )
        for name in (
            "raw_sample",
            "processed_records",
            "quarantine",
            "chatml",
            "tool_messages",
            "balanced_chatml",
        )
    }
    counted = {
        (stage, reason): count
        for stage, reasons in summary["quarantined"].items()
        for reason, count in reasons.items()
    }
    refused = [(stage, reason) for _, stage, reason in built.refused("v0001")]
    assert counted == {each: refused.count(each) for each in set(refused)}
    assert summary["checks"]["passed"]
    assert summary["checks"]["expected_rows"] == ROWS


def test_the_release_says_what_each_file_is(built: Workplace) -> None:
    release = built.json("v0001", "release.json")
    assert release["version"] == "v0001"
    assert release["manifest_sha256"] == hashlib.sha256(built.bytes("v0001", "manifest.json")).hexdigest()
    described = {artifact["file"]: artifact for artifact in release["artifacts"]}
    assert described.keys() == set(FILES) - {"release.json", "README.md", "manifest.json"}
    for name, artifact in described.items():
        data = built.bytes("v0001", name)
        assert artifact["sha256"] == hashlib.sha256(data).hexdigest(), name
        assert artifact["bytes"] == len(data), name
        if name.endswith(".parquet"):
            frame = built.frame("v0001", name)
            assert artifact["rows"] == len(frame)
            assert artifact["schema"] == {column: str(dtype) for column, dtype in frame.schema.items()}
        elif name.endswith(".jsonl"):
            lines = built.lines("v0001", name)
            assert artifact["rows"] == len(lines)
            assert set(artifact["schema"]) == set(lines[0])
    assert release["metrics"]["rows.raw_sample"] == ROWS


def test_the_card_and_the_pins_are_of_these_files(built: Workplace) -> None:
    card = built.bytes("v0001", "README.md").decode()
    front, text = card.removeprefix("---\n").split("\n---\n", 1)
    configs = {config["config_name"]: config for config in yaml.safe_load(front)["configs"]}
    assert {config["data_files"][0]["path"] for config in configs.values()} <= set(FILES)
    for artifact in built.json("v0001", "release.json")["artifacts"]:
        assert artifact["sha256"] in text
        pin = yaml.safe_load(built.bytes("v0001", f"{artifact['file']}.dvc"))
        data = built.bytes("v0001", artifact["file"])
        assert pin["outs"][0]["md5"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert pin["outs"][0]["size"] == len(data)
    metrics = built.json("v0001", "metrics.json")
    assert metrics.pop("version") == "v0001"
    assert metrics == built.json("v0001", "release.json")["metrics"]


def test_the_balanced_file_repeats_only_what_is_in_the_other(built: Workplace) -> None:
    def content(name: str) -> list[str]:
        return [str(line["messages"]) for line in built.lines("v0001", name)]

    assert set(content("balanced_chatml.jsonl")) <= set(content("chatml.jsonl"))


def test_the_same_version_again_gives_the_same_bytes(built: Workplace) -> None:
    before = built.artifacts("v0001")
    told = built.materialize("v0001")
    assert told.code == 0, told.err
    assert built.artifacts("v0001") == before


def test_another_store_and_ledger_and_one_worker_give_the_same_bytes(
    built: Workplace, tmp_path: Path
) -> None:
    elsewhere = Workplace(tmp_path, AUTOMEND_WORKERS="1")
    elsewhere.build("--rows", "400")
    assert elsewhere.artifacts("v0001") == built.artifacts("v0001")


def test_steps_in_processes_of_their_own_give_the_same_bytes(built: Workplace, tmp_path: Path) -> None:
    elsewhere = Workplace(tmp_path, AUTOMEND_EXECUTOR="multiprocess", AUTOMEND_WORKERS="2")
    assert elsewhere.cut("--rows", "400") == "v0001"
    told = elsewhere.dagster_materialize("v0001")
    assert told.code == 0, told.err[-4000:]
    assert elsewhere.artifacts("v0001") == built.artifacts("v0001")
    with elsewhere.instance() as instance:
        events = instance.get_records_for_run(_run_id(instance), of_type=dg.DagsterEventType.STEP_START)
    assert len({record.event_log_entry.dagster_event.pid for record in events.records}) > 1


def _run_id(instance: dg.DagsterInstance) -> str:
    (first, *_) = instance.get_runs(limit=1)
    return first.run_id
