"""The ledger, on SQLite and on a real Postgres."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from automend_assets.versions.database import LedgerMisconfigured, LedgerUnavailable
from automend_assets.versions.ledger import Ledger, VersionNotFound
from automend_assets.versions.manifest import ManifestChanged
from automend_assets_tests.versions.manifests import manifest

WORKER = Path(__file__).with_name("cut_worker.py")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'made' / 'on demand' / 'ledger.db'}"


def edit(url: str, statement: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_versions_are_numbered_per_dataset(url: str) -> None:
    ledger = Ledger(url)
    assert [ledger.cut(manifest(rows)).key for rows in (1, 2, None)] == ["v0001", "v0002", "v0003"]
    assert ledger.cut(manifest(1, dataset="iac")).key == "v0001"
    assert [version.key for version in ledger.versions("glaive")] == ["v0001", "v0002", "v0003"]
    assert ledger.keys("iac") == ["v0001"]


def test_the_same_manifest_is_the_same_version_also_for_another_process(url: str) -> None:
    first = Ledger(url).cut(manifest(1))
    Ledger(url).cut(manifest(2))
    assert Ledger(url).cut(manifest(1)) == first
    assert Ledger(url).keys("glaive") == ["v0001", "v0002"]


def test_a_version_comes_back_as_it_was_cut(url: str) -> None:
    before = datetime.now(UTC)
    cut = Ledger(url).cut(manifest(7, languages=["de", "日本"]))
    found = Ledger(url).get("glaive", "v0001")
    assert found == cut
    assert found.sha256 == manifest(7, languages=["de", "日本"]).sha256
    assert found.created_at.utcoffset() == timedelta(0)
    assert before <= found.created_at <= datetime.now(UTC)


def test_numbers_beyond_four_digits_keep_their_order(url: str) -> None:
    ledger = Ledger(url)
    ledger.cut(manifest(1))
    edit(url, "UPDATE versions SET number = 9999")
    assert ledger.cut(manifest(2)).key == "v10000"
    assert ledger.keys("glaive") == ["v9999", "v10000"]
    assert ledger.get("glaive", "v10000").manifest == manifest(2)


@pytest.mark.parametrize("key", ["v0003", "v1", "latest", "v0001; DROP TABLE versions"])
def test_a_version_that_does_not_exist_names_those_that_do_and_the_command(url: str, key: str) -> None:
    ledger = Ledger(url)
    ledger.cut(manifest(1))
    ledger.cut(manifest(2))
    with pytest.raises(VersionNotFound) as raised:
        ledger.get("glaive", key)
    assert repr(key) in str(raised.value)
    assert "It has v0001, v0002." in str(raised.value)
    assert str(raised.value).endswith("automend cut glaive --source sample")


def test_many_versions_are_named_by_first_and_last(url: str) -> None:
    ledger = Ledger(url)
    for rows in range(1, 12):
        ledger.cut(manifest(rows))
    with pytest.raises(VersionNotFound, match="It has 11 versions, v0001 to v0011"):
        ledger.get("glaive", "v0099")


def test_reading_a_ledger_that_does_not_exist_finds_nothing_and_makes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'none' / 'ledger.db'}")
    assert ledger.versions("glaive") == []
    with pytest.raises(VersionNotFound, match="It has no versions yet"):
        ledger.get("glaive", "v0001")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_postgres_has_no_versions(postgres_url: str) -> None:
    assert Ledger(postgres_url).versions("glaive") == []


def test_a_manifest_edited_in_the_database_is_refused(url: str) -> None:
    ledger = Ledger(url)
    ledger.cut(manifest(5_000))
    edit(url, "UPDATE versions SET manifest = replace(manifest, '\"rows\":5000', '\"rows\":9000')")
    for read in (lambda: ledger.get("glaive", "v0001"), lambda: ledger.versions("glaive")):
        with pytest.raises(ManifestChanged, match=r"glaive v0001.*was edited.*automend cut glaive"):
            read()


def test_processes_that_cut_at_once_get_dense_numbers_and_share_equal_manifests(url: str) -> None:
    shared = [1_000, 1_001, 1_002]
    work = [[shared[0], 10 * n + 1, shared[1], 10 * n + 2, shared[2]] for n in range(6)]
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, url, "race", *map(str, rows)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rows in work
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told: list[tuple[int, int]] = []
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        told += [(int(rows), int(number)) for rows, number in map(str.split, output.splitlines())]

    assert len(told) == sum(map(len, work))
    number_of = dict(told)
    assert sorted(set(told)) == sorted(number_of.items()), "one manifest was given two numbers"
    assert sorted(number_of.values()) == list(range(1, len(number_of) + 1)), "not dense, or given twice"
    assert {v.manifest.rows: v.number for v in Ledger(url).versions("glaive")} == number_of


def test_a_process_killed_before_its_commit_leaves_nothing_and_blocks_nobody(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, WORKER, url, "hang", "1", "2"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "uncommitted\n"
    process.kill()
    process.wait(timeout=30)
    process.stdout.close()
    assert Ledger(url).keys("glaive") == ["v0001"]
    assert Ledger(url).cut(manifest(3)).key == "v0002"


def test_a_read_only_ledger_can_be_read_and_says_that_it_cannot_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(f"sqlite:///{path}").cut(manifest(1))
    ledger = Ledger(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert ledger.get("glaive", "v0001").manifest == manifest(1)
    with pytest.raises(LedgerUnavailable, match=r"readonly database.*AUTOMEND_LEDGER"):
        ledger.cut(manifest(2))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("something else entirely, and long enough to be read as a header" * 20)
    with pytest.raises(LedgerUnavailable, match=r"file is not a database.*AUTOMEND_LEDGER"):
        Ledger(f"sqlite:///{path}").versions("glaive")


def test_a_ledger_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match=r"Check that this user can write.*AUTOMEND_LEDGER"):
        Ledger(f"sqlite:///{tmp_path / 'file' / 'ledger.db'}").cut(manifest(1))


def test_an_unreachable_server_is_named_without_the_password() -> None:
    ledger = Ledger("postgresql://me:tops3cret@127.0.0.1:1/automend?sslpassword=tops3cret")
    with pytest.raises(LedgerUnavailable) as raised:
        ledger.cut(manifest(1))
    message = str(raised.value)
    assert "127.0.0.1:1/automend" in message
    assert "Check that the server runs" in message
    shown = message + repr(ledger) + repr(raised.value.__cause__)
    assert "tops3cret" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://me:tops3cret@host/db",
        "not a url tops3cret",
        "",
        "postgresql://me:tops3cret@host:port/db",
    ],
)
def test_a_url_that_cannot_be_a_ledger_is_refused_with_the_forms_that_can(url: str) -> None:
    with pytest.raises(
        LedgerMisconfigured, match=r"Set AUTOMEND_LEDGER to sqlite:///.* or postgresql://"
    ) as raised:
        Ledger(url)
    assert "tops3cret" not in str(raised.value)


def test_a_missing_driver_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['psycopg2'] = None\n"
        "from automend_assets.versions.ledger import Ledger\n"
        "Ledger('postgresql://me:tops3cret@127.0.0.1/automend')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "LedgerMisconfigured" in ran.stderr
    assert "pip install 'automend-assets[postgres]'" in ran.stderr
    assert "tops3cret" not in ran.stderr.replace(code, "")
