"""Bad input of every kind through cut and materialisation: what a person is told, and what is kept of it."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import orjson
import pytest

from automend_assets_tests.datasets.glaive.rows import generated, mostly_without_calls, write
from automend_assets_tests.servers.slack import SlackServer
from automend_assets_tests.workplace import ASSETS, Told, Workplace

NOTHING = "not made " + ", ".join(f"glaive/{asset}" for asset in sorted(ASSETS))
AFTER_RECORDS = "not made " + ", ".join(
    f"glaive/{asset}"
    for asset in ("balanced_chatml", "bias_report", "chatml", "release", "run_summary", "tool_messages")
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("bad"))


def put(workplace: Workplace, name: str, content: bytes) -> Path:
    path = workplace.folder / name
    path.write_bytes(content)
    return path


def cut_file(workplace: Workplace, path: Path) -> str:
    return workplace.cut("--source", "file", "--path", str(path), "--rows", "all")


def failure(told: Told, step: str) -> str:
    """Why `step` failed, in one line, without a traceback or a Python class."""
    assert (told.code, told.out) == (1, "")
    assert "Traceback" not in told.err
    (line,) = (line for line in told.err.splitlines() if line.startswith(f"failed   {step}: "))
    message = line.removeprefix(f"failed   {step}: ")
    assert not message.startswith("automend_assets.")
    return message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.json", b"", "holds no record: expected a JSON array of objects"),
        ("nothing.json", b"[]", "holds no record: expected a JSON array of objects"),
        ("words.json", b"not json at all", "is not JSON: none of its first 1 record(s) can be read"),
        ("bytes.json", bytes(range(256)) * 40, "is not JSON: none of its first"),
        (
            "half.json",
            orjson.dumps(generated(20))[:-100],
            "cannot be read past byte",
        ),
    ],
)
def test_a_file_that_holds_no_rows_is_told_with_its_name(
    name: str, content: bytes, message: str, workplace: Workplace
) -> None:
    path = put(workplace, f"[{name}]", content)  # brackets, which the terminal must not swallow
    version = cut_file(workplace, path)
    told = workplace.materialize(version)
    why = failure(told, "glaive/raw_sample")
    assert str(path) in why
    assert message in why
    assert NOTHING in told.err.splitlines()
    assert workplace.artifacts(version).keys() == {"manifest.json"}


BAD_ROWS: dict[str, bytes] = {
    "missing_chat": b'{"system": "a system and no chat"}',
    "chat_not_string": b'{"system": "", "chat": ["USER: hello there"]}',
    "system_not_string": b'{"system": 5, "chat": "USER: hello there"}',
    "not_an_object": b'["USER: hello there"]',
    "not_json": b'{"system": "", "chat": "USER: hello there}',
    "invalid_utf8": b'{"system": "", "chat": "USER: hello \xff\xfe there"}',
    "too_deep": b'{"system": "", "chat": "USER: hello there", "more": '
    + b'{"a":' * 100_000
    + b"1"
    + b"}" * 100_001,
}


def test_each_bad_row_goes_to_quarantine_with_its_reason(workplace: Workplace) -> None:
    good = [orjson.dumps(row) for row in generated(60)]
    bad = list(BAD_ROWS.values())
    path = put(workplace, "bad_rows.jsonl", b"\n".join(bad + good) + b"\n")
    version = cut_file(workplace, path)
    told = workplace.materialize(version)
    assert told.code == 0, told.err
    for number, reason in enumerate(BAD_ROWS):
        assert (number, "processed_records", reason) in workplace.refused(version)
        assert f"         refused by processed_records: {reason} 1" in told.err.splitlines()
    quarantine = workplace.frame(version, "quarantine.parquet").filter(stage="processed_records")
    assert len(quarantine) == len(bad)
    for text in quarantine["text"]:
        assert 0 < len(text) <= 1_000
    assert len(workplace.frame(version, "processed_records.parquet")) == len(good)


def test_a_chat_of_100000_braces_is_refused_or_read_and_costs_little(workplace: Workplace) -> None:
    system = (
        "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
    )
    braces = [
        {
            "system": system + "{" * 100_000,
            "chat": "USER: Do it now.\n\n\nASSISTANT: Which one? <|endoftext|>",
        },
        {
            "system": system,
            "chat": "USER: Do it.\n\n\nASSISTANT: <functioncall> " + "{" * 100_000 + " <|endoftext|>\n\n\n",
        },
        {
            "system": system,
            "chat": """USER: Do it.\n\n\nASSISTANT: <functioncall> {"name": "f", "arguments": '"""
            + '{"a": ' * 50_000
            + "}" * 50_000
            + "'} <|endoftext|>\n\n\n",
        },
    ]
    path = write(workplace.folder / "braces.json", [*braces, *generated(60)])
    version = cut_file(workplace, path)
    before = _cpu_seconds()
    told = workplace.materialize(version)
    assert told.code == 0, told.err
    assert _cpu_seconds() - before < 30
    raw = set(workplace.frame(version, "raw_sample.parquet")["row_number"])
    processed = workplace.frame(version, "processed_records.parquet")
    refused = {row for row, stage, _ in workplace.refused(version) if stage == "processed_records"}
    assert raw == set(range(63)) == set(processed["row_number"]) | refused
    # Where a call cannot be read, the record is withheld: no workflow is made up for it.
    withheld = {row for row, _, _ in workplace.refused(version)}
    assert {1, 2} <= withheld


def test_a_row_of_100_mb_is_refused_and_costs_little(workplace: Workplace) -> None:
    path = workplace.folder / "large.jsonl"
    with path.open("wb") as file:
        rows = [orjson.dumps(row) for row in generated(60)]
        file.write(b"\n".join(rows[:30]) + b"\n")
        file.write(b'{"system": "", "chat": "USER: hello there ')
        for _ in range(100):
            file.write(b"word " * 200_000)
        file.write(b'"}\n' + b"\n".join(rows[30:]) + b"\n")
    version = cut_file(workplace, path)
    before, peak = _cpu_seconds(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = workplace.materialize(version)
    assert told.code == 0, told.err
    assert _cpu_seconds() - before < 30
    # KiB. The row is never in memory as a whole.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 90_000
    assert (30, "processed_records", "too_large") in workplace.refused(version)
    assert len(workplace.frame(version, "processed_records.parquet")) == 60
    path.unlink()


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def test_a_file_that_is_not_the_one_that_was_cut_is_told(workplace: Workplace) -> None:
    path = write(workplace.folder / "changing.json", generated(30))
    version = cut_file(workplace, path)
    write(path, generated(30, seed=2))
    why = failure(workplace.materialize(version), "glaive/raw_sample")
    assert f"{path} is not the file that this version was cut from" in why
    assert f"automend cut glaive --source file --path {path}" in why
    path.unlink()
    why = failure(workplace.materialize(version), "glaive/raw_sample")
    assert f"{path} cannot be opened (No such file or directory): put it there" in why


def test_an_edited_manifest_is_told_and_never_used(workplace: Workplace) -> None:
    version = workplace.cut("--rows", "50", "--seed", "11")
    manifest = Path(workplace.store.url("glaive", version, "manifest.json"))
    text = manifest.read_text()
    assert '"rows":50' in text
    manifest.write_text(text.replace('"rows":50', '"rows":60'))
    told = workplace.materialize(version)
    why = failure(told, "glaive/raw_sample")
    assert f"The manifest of glaive {version} at {manifest} was edited" in why
    assert "Delete that file" in why
    assert "again    " not in told.err, "an edited file is nothing to wait for"


def test_an_edited_ledger_is_told_and_never_used(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    version = workplace.cut("--rows", "50")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as ledger:
        ledger.execute("update versions set manifest = replace(manifest, '\"rows\":50', '\"rows\":60')")
    for command in (("materialize", "glaive", version), ("versions", "glaive")):
        told = workplace.automend(*command)
        assert told.code == 1
        (line,) = (line for line in told.err.splitlines() if line.startswith("error: "))
        assert f"The manifest of glaive {version} in the ledger sqlite:///{tmp_path}/ledger.sqlite" in line
        assert "was edited" in line
        assert "Put the original text back" in line
    assert workplace.artifacts(version).keys() == {"manifest.json"}


def test_a_read_only_store_is_told(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    version = workplace.cut("--rows", "50")
    # Not by permissions, which do not bind root: a file in the place of a folder binds everybody.
    (tmp_path / "store" / ".staging").rmdir()
    (tmp_path / "store" / ".staging").write_bytes(b"")
    told = workplace.materialize(version)
    why = failure(told, "glaive/raw_sample")
    assert f"Cannot write to the store {tmp_path}/store" in why
    assert "AUTOMEND_STORE" in why
    assert "again    " not in told.err, "nobody makes room by waiting"
    assert workplace.artifacts(version).keys() == {"manifest.json"}
    (tmp_path / "store" / ".staging").unlink()
    assert workplace.materialize(version).code == 0


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from automend_assets.cli import app
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
app()
"""


def test_a_full_store_is_told_and_nothing_partial_is_left(tmp_path: Path) -> None:
    """No file may grow beyond 1 MB, which the parsed records of 2,000 rows do."""
    workplace = Workplace(tmp_path)
    version = workplace.cut("--rows", "2000")
    with workplace.start("python", "-c", FULL, "materialize", "glaive", version) as process:
        out, err = process.communicate(timeout=120)
    told = Told(process.returncode, out, err)
    why = failure(told, "glaive/processed_records")
    assert f"Cannot write to the store {tmp_path}/store" in why
    assert "Nothing was published" in why
    assert workplace.artifacts(version).keys() == {"manifest.json", "raw_sample.parquet"}
    assert list((tmp_path / "store" / ".staging").iterdir()) == []


def test_mostly_unusable_rows_block_what_would_follow(workplace: Workplace) -> None:
    bad = [{"system": "and no chat"}] * 80
    path = write(workplace.folder / "unusable.json", bad + generated(120))
    version = cut_file(workplace, path)
    told = workplace.materialize(version)
    assert (told.code, told.out) == (1, "")
    lines = told.err.splitlines()
    assert "failed   glaive/processed_records:row_count_in_range 120 rows; expected: 160 to 240 rows" in lines
    assert "         refused by processed_records: missing_chat 80" in lines
    assert AFTER_RECORDS in lines
    made = {"manifest.json", "raw_sample.parquet", "processed_records.parquet", "quarantine.parquet"}
    assert workplace.artifacts(version).keys() == made
    refused = [row for row in workplace.refused(version) if row[1] == "processed_records"]
    assert refused == [(row, "processed_records", "missing_chat") for row in range(80)]
    with workplace.instance() as instance:
        for asset in ("chatml", "tool_messages", "bias_report", "balanced_chatml", "run_summary", "release"):
            materialized = instance.get_materialized_partitions(dg.AssetKey(["glaive", asset]))
            assert version not in materialized, asset


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


def test_an_anomaly_warns_and_is_told_to_slack(workplace: Workplace, slack: SlackServer) -> None:
    path = write(workplace.folder / "quiet.json", mostly_without_calls(200))
    version = cut_file(workplace, path)
    told = workplace.materialize(version)
    assert told.code == 0, told.err
    assert f"critical Anomaly in glaive {version}: no_call_rate" in told.err
    assert "         Observed: 0.75" in told.err.splitlines()
    assert "Slack is not configured: set SLACK_BOT_TOKEN and SLACK_CHANNEL, or SLACK_WEBHOOK_URL" in told.err
    assert "39 of 40 checks passed, 1 warned" in told.err
    anomalies = workplace.json(version, "run_summary.json")["checks"]["anomalies"]
    assert [check["name"] for check in anomalies if not check["passed"]] == ["no_call_rate"]
    assert "no_call_rate" in workplace.bytes(version, "README.md").decode()

    before = workplace.artifacts(version)
    reached = Workplace(workplace.folder, SLACK_WEBHOOK_URL=slack.webhook_url)
    told = reached.materialize(version)
    assert told.code == 0, told.err
    (message,) = slack.messages
    for part in (
        f"glaive {version}: no_call_rate",
        "Observed: 0.75",
        "Threshold: at most 0.6",
        "draw more records",
    ):
        assert part in message["text"]
    assert "critical" not in told.err
    assert "warning  glaive/processed_records:no_call_rate 0.75; expected: at most 0.6." in told.err
    assert reached.artifacts(version) == before, "who was told is no part of a version"
