"""What `automend` prints and where, and how it ends."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from automend_assets.definitions import discover
from automend_assets.settings import Settings
from automend_assets_tests.workplace import PROJECT, Told, Workplace

COMMANDS = ("cut", "versions", "materialize", "demo", "serve", "models", "evaluate", "home", "settings")


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def words(text: str) -> str:
    """The words of a message without the frame that is drawn around it."""
    return " ".join(text.replace("│", " ").split())


def wrong_use(told: Told) -> str:
    assert (told.code, told.out) == (2, "")
    return words(told.err)


def test_the_console_script_is_installed(workplace: Workplace) -> None:
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"automend": "automend_assets.cli:app"}
    told = workplace.process("automend", "--help")
    assert told.code == 0
    for command in COMMANDS:
        assert f"│ {command} " in told.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, workplace: Workplace) -> None:
    told = workplace.automend(command, "--help")
    assert told.code == 0
    assert f"Usage: automend {command}" in told.out
    assert told.err == ""
    if command == "cut":
        for option in ("--source", "--path", "--repo", "--revision", "--rows", "--seed", "--shuffle-buffer"):
            assert option in told.out


def test_a_cut_prints_its_key_alone(workplace: Workplace) -> None:
    told = workplace.process("automend", "cut", "glaive", "--rows", "100")
    assert (told.code, told.out) == (0, "v0001\n")
    assert "automend materialize glaive v0001" in told.err
    assert f"DAGSTER_HOME={workplace.home} dagster asset materialize" in told.err
    assert workplace.json("v0001", "manifest.json")["rows"] == 100
    with workplace.instance() as instance:
        assert instance.get_dynamic_partitions("glaive_versions") == ["v0001"]


def test_equal_requests_are_one_version_and_others_are_not(workplace: Workplace) -> None:
    assert workplace.cut("--rows", "100") == "v0001"
    assert workplace.cut("--rows", "100") == "v0001"
    assert workplace.cut("--rows", "100", "--seed", "7") == "v0002"
    assert workplace.cut("--rows", "100", "--seed", "42", "--source", "sample") == "v0001"
    assert workplace.cut("--rows", "all") == "v0003"
    assert workplace.json("v0003", "manifest.json")["rows"] is None
    assert workplace.cut() == "v0004"
    defaults = workplace.json("v0004", "manifest.json")
    assert (defaults["rows"], defaults["seed"], defaults["source"]["kind"]) == (5_000, 42, "sample")


@pytest.mark.parametrize("rows", ["0", "-1", "abc", "1.5", "²", ""])
def test_a_number_of_rows_that_is_none_is_refused(rows: str, workplace: Workplace) -> None:
    message = wrong_use(workplace.automend("cut", "glaive", "--rows", rows))
    assert "Invalid value for --rows: expected a number above 0, or 'all'" in message
    assert workplace.ledger.keys("glaive") == []


def test_wrong_use_is_told_with_what_would_be_right(workplace: Workplace) -> None:
    unknown = f"there is no dataset 'nope'; there is: {', '.join(discover())}"
    assert unknown in wrong_use(workplace.automend("cut", "nope"))
    assert unknown in wrong_use(workplace.automend("versions", "nope"))
    assert unknown in wrong_use(workplace.automend("materialize", "nope", "v0001"))
    assert "expected one of sample, hub, file" in wrong_use(
        workplace.automend("cut", "glaive", "--source", "ftp")
    )
    assert "greater than or equal to 0" in wrong_use(workplace.automend("cut", "glaive", "--seed", "-1"))
    assert "greater than or equal to 1" in wrong_use(
        workplace.automend("cut", "glaive", "--shuffle-buffer", "0")
    )
    assert "Missing argument 'VERSION'" in wrong_use(workplace.automend("materialize", "glaive"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--source", "file"), "The source `file` needs a path: add `--path FILE`."),
        (("--source", "file", "--path", "[red]/no/where[/]"), "/no/where[/] cannot be opened (No such file"),
        (("--source", "file", "--path", "/"), "/ cannot be opened (Is a directory)"),
        (("--path", "rows.json"), "A path belongs to the source 'file'"),
        (("--revision", "main"), "A revision belongs to the source 'hub'"),
        (("--source", "file", "--path", "x", "--repo", "a/b"), "A repo belongs to the source 'hub'"),
    ],
)
def test_a_source_that_cannot_be_pinned_is_one_message(
    options: tuple[str, ...], message: str, workplace: Workplace
) -> None:
    told = workplace.automend("cut", "glaive", *options)
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("error: ")
    assert message in told.err
    assert told.err.count("\n") == 1
    assert workplace.ledger.keys("glaive") == []


def test_a_relative_path_is_pinned_absolute(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]")
    told = workplace.process("automend", "cut", "glaive", "--source", "file", "--path", "rows.json")
    assert told.code == 0, told.err
    assert workplace.json("v0001", "manifest.json")["source"]["path"] == str(tmp_path / "rows.json")


def test_versions_are_listed(workplace: Workplace) -> None:
    none = workplace.automend("versions", "glaive")
    assert (none.code, none.out) == (0, "")
    assert "glaive has no versions yet. Cut one with: automend cut glaive" in none.err
    workplace.cut("--rows", "100")
    workplace.cut("--rows", "all", "--seed", "7")
    listed = workplace.automend("versions", "glaive").out.splitlines()
    (first,) = (line.split("│") for line in listed if "v0001" in line)
    (second,) = (line.split("│") for line in listed if "v0002" in line)
    sha256 = workplace.ledger.get("glaive", "v0001").sha256
    assert [cell.strip() for cell in first[3:7]] == ["sample", "100", "42", sha256[:12]]
    assert [cell.strip() for cell in second[3:6]] == ["sample", "all", "7"]


def test_home_prints_the_folder_and_makes_it_ready(workplace: Workplace) -> None:
    told = workplace.automend("home")
    assert (told.code, told.out) == (0, f"{workplace.home}\n")
    assert (workplace.home / "dagster.yaml").resolve() == PROJECT / "dagster.yaml"
    (workplace.home / "dagster.yaml").unlink()
    (workplace.home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    workplace.automend("home")
    assert (workplace.home / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"


def test_settings_are_shown_without_secrets(workplace: Workplace) -> None:
    workplace.environment |= {
        "AUTOMEND_LEDGER": "postgresql://user:tops3cret@host/db",
        "HF_TOKEN": "tops3cret",
        "SLACK_BOT_TOKEN": "tops3cret",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/tops3cret",
        "SLACK_CHANNEL": "#alerts",
    }
    told = workplace.automend("settings")
    assert told.code == 0
    assert "tops3cret" not in told.out + told.err
    for field in Settings.model_fields.values():
        assert f"│ {field.validation_alias} " in told.out
        assert field.description
        assert field.description in words(told.out)
    assert "#alerts" in told.out
    assert workplace.environment["AUTOMEND_STORE"] in told.out


def test_every_setting_is_in_the_example() -> None:
    example = (PROJECT / ".env.example").read_text()
    for field in Settings.model_fields.values():
        assert f"#{field.validation_alias}=" in example
    assert "#DAGSTER_HOME=" in example


def test_an_env_file_is_read_and_the_shell_wins(workplace: Workplace, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere"
    there.mkdir()
    store, channel = tmp_path / "store-of-the-file", "#channel-of-the-file"
    (there / ".env").write_text(f"AUTOMEND_STORE={store}\nSLACK_CHANNEL='{channel}'\n")
    del workplace.environment["AUTOMEND_STORE"]
    workplace.environment["SLACK_CHANNEL"] = "#channel-of-the-shell"
    told = workplace.process("automend", "settings", cwd=there)
    assert told.code == 0, told.err
    assert str(store) in told.out
    assert "#channel-of-the-shell" in told.out
    assert channel not in told.out


def test_a_version_that_was_never_cut_is_told_with_those_that_exist(workplace: Workplace) -> None:
    told = workplace.automend("materialize", "glaive", "v9999")
    assert (told.code, told.out) == (1, "")
    assert "error: glaive has no version 'v9999' in the ledger" in told.err
    assert "It has no versions yet. Cut one with: automend cut glaive" in told.err
    workplace.cut("--rows", "10")
    workplace.cut("--rows", "20")
    assert "It has v0001, v0002." in workplace.automend("materialize", "glaive", "v9999").err
    for key in ("1", "v1", "v0001.json", "../v0001", ""):
        told = workplace.automend("materialize", "glaive", key)
        assert told.code == 1
        assert "It has v0001, v0002." in told.err


def test_a_lost_dagster_home_is_repaired_from_the_ledger(workplace: Workplace) -> None:
    workplace.cut("--rows", "10")
    shutil.rmtree(workplace.home)
    assert workplace.cut("--rows", "20") == "v0002"
    with workplace.instance() as instance:
        assert instance.get_dynamic_partitions("glaive_versions") == ["v0001", "v0002"]


def test_demo_makes_a_version_of_every_dataset(workplace: Workplace) -> None:
    told = workplace.automend("demo")
    assert told.code == 0, told.err
    for dataset in discover():
        assert f"{dataset} v0001 ───" in told.err
        for name in ("release.json", "README.md", "run_summary.json"):
            assert workplace.store.exists(dataset, "v0001", name)
    assert "made     glaive/processed_records        5,000 rows" in told.err
    assert "40 of 40 checks passed" in told.err
    assert "│ rows of raw_sample " in told.err
    assert "make ui" in told.err
    # Again: nothing new.
    assert workplace.cut() == "v0001"


def test_settings_that_cannot_be_right_are_one_message(workplace: Workplace) -> None:
    for setting, value, message in (
        ("AUTOMEND_LEDGER", "mysql://user:tops3cret@host/db", "Set AUTOMEND_LEDGER to"),
        ("AUTOMEND_LEDGER", "postgresql://user:tops3cret@127.0.0.1:1/db", "cannot be used"),
        ("AUTOMEND_STORE", "ftp://host", "set AUTOMEND_STORE to"),
        ("AUTOMEND_STORE", "/dev/null/store", "Cannot write to the store /dev/null/store"),
        ("AUTOMEND_WORKERS", "none", "AUTOMEND_WORKERS"),
        ("AUTOMEND_EXECUTOR", "kubernetes", "AUTOMEND_EXECUTOR"),
        ("DAGSTER_HOME", "/dev/null/home", "DAGSTER_HOME"),
    ):
        place = Workplace(workplace.folder / "wrong", **{setting: value})
        told = place.automend("cut", "glaive", "--rows", "10")
        assert (told.code, told.out) == (1, ""), setting
        assert told.err.startswith("error: ")
        assert message in told.err
        assert "tops3cret" not in told.err
