"""Pins with the real DVC: in a clone, in projects of their own, to a real S3 server and back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from automend_assets.storage.store import ArtifactMissing, Store
from automend_assets.versions import pins
from automend_assets.versions.pins import (
    REMOTE_NAME,
    DvcFailed,
    DvcProject,
    find_project,
    pin,
    write_metrics,
)

CHECKOUT = Path(__file__).parents[2]
FILES = {
    "raw_sample.parquet": b"PAR1" + bytes(range(256)) * 100,
    "chatml.jsonl": b'{"messages":[]}\n' * 1_000,
    "README.md": b"# card\n",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without settings; nothing of DVC's is left on the machine."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc-site-cache"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Tester\n\temail = tester@example.org\n")
    return home


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A Git repository with this project's own rules for Git and DVC."""
    root = tmp_path / "clone"
    root.mkdir()
    for name in (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, root / name)
    run(root, "git", "init", "--quiet")
    commit(root, "house")
    return root


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def commit(root: Path, message: str) -> None:
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", message)


def fill(store: Store, version: str = "v0001", salt: bytes = b"") -> None:
    for name, content in FILES.items():
        with store.write("toys", version, name) as file:
            file.write_bytes(content + salt)


def pin_all(store: Store, project: DvcProject, version: str = "v0001", **options: object) -> list[str]:
    return [
        pointer.pointer for pointer in pin(store, "toys", version, list(FILES), project, **options).pointers
    ]


def snapshot(folder: Path, pattern: str) -> dict[str, tuple[bytes, int]]:
    """The bytes and the inode's mode of files, to see whether anything touched them."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }


def test_pointers_lie_beside_the_artifacts_and_tell_them(store: Store, tmp_path: Path) -> None:
    fill(store)
    folder = tmp_path / "store" / "toys" / "v0001"
    inodes = {name: (folder / name).stat().st_ino for name in FILES}
    before = snapshot(folder, "*")

    result = pin(store, "toys", "v0001", list(FILES), find_project(store, tmp_path))

    assert [pointer.file for pointer in result.pointers] == list(FILES)
    assert result.project == tmp_path / "store"
    assert result.pushed_to is None
    for pointer in result.pointers:
        assert pointer.pointer == f"toys/v0001/{pointer.file}.dvc"
        (out,) = yaml.safe_load((tmp_path / "store" / pointer.pointer).read_text())["outs"]
        assert out == {"md5": pointer.md5, "size": pointer.bytes, "hash": "md5", "path": pointer.file}
        assert pointer.bytes == len(FILES[pointer.file])
    # A file that was replaced by a link into the cache, or made read-only, would show here.
    assert {name: before[name] for name in FILES} == {name: snapshot(folder, "*")[name] for name in FILES}
    assert inodes == {name: (folder / name).stat().st_ino for name in FILES}
    assert "up to date" in dvc(tmp_path / "store", "status")


def test_pinning_again_changes_no_byte(store: Store, tmp_path: Path) -> None:
    fill(store)
    project = find_project(store, tmp_path)
    pin_all(store, project)
    before = snapshot(tmp_path / "store", "*.dvc")

    fill(store)
    pin_all(store, find_project(store, tmp_path))

    assert len(before) == len(FILES)
    assert snapshot(tmp_path / "store", "*.dvc") == before


def test_an_artifact_can_be_written_again_without_harm_to_its_pin(store: Store, tmp_path: Path) -> None:
    fill(store)
    project = find_project(store, tmp_path)
    pin_all(store, project)

    fill(store, salt=b"another")

    assert "modified" in dvc(project.root, "status")
    dvc(project.root, "checkout", "--force")
    assert store.read_bytes("toys", "v0001", "chatml.jsonl") == FILES["chatml.jsonl"]
    fill(store)
    assert "up to date" in dvc(project.root, "status")


def test_a_release_goes_to_s3_and_comes_back(store: Store, bucket: str, s3: object, tmp_path: Path) -> None:
    fill(store)
    project = find_project(store, tmp_path)

    result = pin(store, "toys", "v0001", list(FILES), project, remote=f"s3://{bucket}/pins")

    assert result.pushed_to == f"s3://{bucket}/pins"
    shutil.rmtree(project.root / ".dvc" / "cache")
    for name in FILES:
        (project.folder / "toys" / "v0001" / name).unlink()
    dvc(project.root, "pull", "--remote", REMOTE_NAME)
    for name, content in FILES.items():
        assert store.read_bytes("toys", "v0001", name) == content


def test_a_store_in_s3_is_pinned_through_a_mirror(s3_store: Store, bucket: str, clone: Path) -> None:
    fill(s3_store)

    project = find_project(s3_store, clone / "data" / "remote")
    pointers = pin_all(s3_store, project, remote=f"s3://{bucket}/pins")

    folder = clone / "data" / "remote" / bucket / "store"
    assert project.folder == folder
    # Objects pass through; only their pointers stay.
    assert sorted(
        path.name for path in folder.rglob("*") if path.is_file() and ".dvc" not in path.parts
    ) == sorted(f"{name}.dvc" for name in FILES)
    before = snapshot(folder, "*.dvc")
    assert pin_all(s3_store, project, remote=f"s3://{bucket}/pins") == pointers
    assert snapshot(folder, "*.dvc") == before
    shutil.rmtree(project.root / ".dvc" / "cache")
    dvc(project.root, "pull", "--remote", REMOTE_NAME)
    for name, content in FILES.items():
        assert (folder / "toys" / "v0001" / name).read_bytes() == content


def test_a_clone_tracks_pointers_and_metrics_and_no_data(clone: Path, tmp_path: Path) -> None:
    store = Store(str(clone / "data" / "store"))
    fill(store)
    project = find_project(store, clone)
    assert project == DvcProject(clone, clone / "data" / "store")

    pin_all(store, project, remote=str(tmp_path / "remote"))
    write_metrics(project, "toys", "v0001", {"rows.chatml": 4_980, "watched.malformed_rate": 0.0018})

    status = run(clone, "git", "status", "--short", "--untracked-files=all").split()
    assert set(status) - {"??"} == {
        *(f"data/store/toys/v0001/{name}.dvc" for name in FILES),
        "data/store/toys/v0001/metrics.json",
        "data/store/toys/metrics.json",
        "data/store/toys/dvc.yaml",
    }
    assert "up to date" in dvc(clone, "status")
    commit(clone, "v0001")
    run(tmp_path, "git", "clone", "--quiet", str(clone), "other")
    dvc(tmp_path / "other", "remote", "add", "--local", "--default", "storage", str(tmp_path / "remote"))
    dvc(tmp_path / "other", "pull")
    other = Store(str(tmp_path / "other" / "data" / "store"))
    assert {name: other.read_bytes("toys", "v0001", name) for name in FILES} == FILES


def test_metrics_show_and_diff_compare_releases(clone: Path) -> None:
    store = Store(str(clone / "data" / "store"))
    project = find_project(store, clone)
    assert dvc(clone, "metrics", "show") == ""
    write_metrics(project, "toys", "v0001", {"rows.chatml": 4_980, "watched.malformed_rate": 0.5})
    commit(clone, "v0001")
    write_metrics(project, "toys", "v0002", {"rows.chatml": 4_990, "watched.malformed_rate": 0.5})

    shown = json.loads(dvc(clone, "metrics", "show", "--json"))
    assert shown[""]["data"]["data/store/toys/metrics.json"]["data"] == {
        "version": "v0002",
        "rows.chatml": 4_990,
        "watched.malformed_rate": 0.5,
    }
    changes = json.loads(dvc(clone, "metrics", "diff", "--json"))["data/store/toys/metrics.json"]
    assert changes["rows.chatml"] == {"old": 4_980, "new": 4_990, "diff": 10}
    assert "watched.malformed_rate" not in changes
    commit(clone, "v0002")
    table = dvc(clone, "metrics", "diff", "HEAD~1", "--md").replace(" ", "")
    assert "|data/store/toys/metrics.json|rows.chatml|4980|4990|10|" in table
    both = dvc(clone, "metrics", "show", "--md", *(f"data/store/toys/v000{n}/metrics.json" for n in (1, 2)))
    assert "4980" in both
    assert "4990" in both


def test_the_newest_version_gives_the_metrics_of_the_dataset(store: Store, tmp_path: Path) -> None:
    project = find_project(store, tmp_path)
    for version in ("v0002", "v10000", "v0001"):
        current = write_metrics(project, "toys", version, {"rows": 1})
    before = snapshot(tmp_path / "store", "*")

    assert json.loads(current.read_text()) == {"version": "v10000", "rows": 1}
    write_metrics(project, "toys", "v0001", {"rows": 1})
    assert snapshot(tmp_path / "store", "*") == before


def test_where_git_ignores_pointers_the_store_has_a_project_of_its_own(clone: Path) -> None:
    store = Store(str(clone / "build" / "store"))
    fill(store)

    project = find_project(store, clone)

    assert project == DvcProject(clone / "build" / "store", clone / "build" / "store")
    pin_all(store, project)
    assert "up to date" in dvc(project.root, "status")
    assert run(clone, "git", "status", "--short") == ""


def test_a_copy_of_the_sources_without_git_can_be_pinned_in(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    store = Store(str(clone / "data" / "store"))
    fill(store)

    project = find_project(store, clone)

    assert project.root == clone / "data" / "store"
    pin_all(store, project)
    assert "up to date" in dvc(project.root, "status")
    assert find_project(store, clone) == project


def test_a_project_without_git_around_the_store_is_used(tmp_path: Path) -> None:
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    store = Store(str(tmp_path / "deep" / "store"))
    fill(store)

    project = find_project(store, tmp_path)

    assert project == DvcProject(tmp_path, tmp_path / "deep" / "store")
    assert pin_all(store, project)[0] == "deep/store/toys/v0001/raw_sample.parquet.dvc"


def test_a_missing_artifact_is_named_and_nothing_is_pinned(any_store: Store, tmp_path: Path) -> None:
    project = find_project(any_store, tmp_path)

    with pytest.raises(ArtifactMissing, match="toys/raw_sample of version v0001"):
        pin_all(any_store, project)
    assert not list(tmp_path.rglob("v0001/*"))


def test_a_failure_carries_the_words_of_dvc(store: Store, tmp_path: Path) -> None:
    fill(store)
    project = find_project(store, tmp_path)
    (project.root / "toys" / "v0001" / "chatml.jsonl.dvc").write_text("outs: 7\n")

    with pytest.raises(DvcFailed, match=r"`dvc add .*` failed in .*chatml\.jsonl\.dvc.*validation failed"):
        pin_all(store, project)


def test_an_unknown_remote_is_not_tried_again(store: Store, tmp_path: Path) -> None:
    fill(store)
    waits: list[float] = []

    with pytest.raises(DvcFailed, match=r"remote 'nowhere' doesn't exist.*Check AUTOMEND_DVC_REMOTE"):
        pin_all(store, find_project(store, tmp_path), remote="nowhere", sleep=waits.append)
    assert waits == []


def test_a_push_that_keeps_failing_fails_and_the_pins_stay(store: Store, tmp_path: Path) -> None:
    fill(store)
    (tmp_path / "file").touch()
    waits: list[float] = []

    with pytest.raises(DvcFailed, match=r"`dvc push .*The version is pinned but not pushed"):
        pin_all(
            store, find_project(store, tmp_path), remote=str(tmp_path / "file" / "remote"), sleep=waits.append
        )
    assert waits == [1.0, 4.0]
    assert len(snapshot(tmp_path / "store", "*.dvc")) == len(FILES)


def test_a_push_succeeds_once_the_remote_is_back(store: Store, tmp_path: Path) -> None:
    fill(store)
    blocked = tmp_path / "blocked"
    blocked.touch()
    waits: list[float] = []

    def repair(seconds: float) -> None:
        waits.append(seconds)
        blocked.unlink()

    pin_all(store, find_project(store, tmp_path), remote=str(blocked / "remote"), sleep=repair)

    assert waits == [1.0]
    assert len([path for path in blocked.rglob("*") if path.is_file()]) == len(FILES)


def test_what_a_user_added_to_the_remote_is_kept(store: Store, tmp_path: Path) -> None:
    fill(store)
    project = find_project(store, tmp_path)
    pin_all(store, project, remote=str(tmp_path / "first"))
    dvc(project.root, "remote", "modify", "--local", REMOTE_NAME, "verify", "true")

    pin_all(store, project, remote=str(tmp_path / "first"))
    assert "verify" in (project.root / ".dvc" / "config.local").read_text()
    pin_all(store, project, remote=str(tmp_path / "second"))

    assert len([path for path in (tmp_path / "second").rglob("*") if path.is_file()]) == len(FILES)


def test_credentials_in_a_url_are_not_repeated(store: Store, tmp_path: Path) -> None:
    fill(store)

    with pytest.raises(DvcFailed) as raised:
        pin_all(
            store,
            find_project(store, tmp_path),
            remote="nosuch://user:hunter2@127.0.0.1/pins",
        )
    assert "hunter2" not in str(raised.value) + raised.value.message


def test_pins_of_several_versions_at_once_all_succeed(store: Store, tmp_path: Path) -> None:
    versions = [f"v{number:04d}" for number in range(1, 4)]
    for version in versions:
        fill(store, version, salt=version.encode())

    def one(version: str) -> list[str]:
        return pin_all(store, find_project(store, tmp_path), version, remote=str(tmp_path / "remote"))

    with ThreadPoolExecutor(len(versions)) as pool:
        pinned = list(pool.map(one, versions))

    assert [len(pointers) for pointers in pinned] == [len(FILES)] * len(versions)
    assert "up to date" in dvc(tmp_path / "store", "status")


def test_a_pointer_is_read_before_another_pin_empties_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    project = find_project(store, tmp_path)
    began, read = [], []
    dvc_itself, read_itself = pins._dvc, pins._read_pointer

    def beginning(root: Path, arguments: list[str], remedy: str) -> None:
        began.append(arguments[0])
        dvc_itself(root, arguments, remedy)

    def reading(root: Path, name: str, target: str) -> pins.Pointer:
        if not read:
            read.append(pool.submit(pin_all, store, project))
            # Long enough for the other pin to begin, if it were let.
            with pytest.raises(TimeoutError):
                read[0].result(timeout=1)
            assert began == ["add"]
        return read_itself(root, name, target)

    monkeypatch.setattr(pins, "_dvc", beginning)
    monkeypatch.setattr(pins, "_read_pointer", reading)
    with ThreadPoolExecutor(1) as pool:
        assert pin_all(store, project) == read[0].result(timeout=60)
    assert began == ["add", "add"]


def test_a_version_in_s3_is_pinned_twice_at_once(s3_store: Store, tmp_path: Path) -> None:
    fill(s3_store)
    project = find_project(s3_store, tmp_path / "mirror")
    with ThreadPoolExecutor(3) as pool:
        pinned = list(pool.map(lambda _: pin_all(s3_store, project), range(3)))
    assert pinned == [pinned[0]] * 3
    assert len(pinned[0]) == len(FILES)


def test_a_long_hold_of_the_lock_is_waited_for(store: Store, tmp_path: Path) -> None:
    import zc.lockfile

    fill(store)
    project = find_project(store, tmp_path)
    (project.root / ".dvc" / "tmp").mkdir()
    lock = zc.lockfile.LockFile(str(project.root / ".dvc" / "tmp" / "lock"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pin_all, store, project)
        # DVC gives up after 3 s unless it is told to wait.
        with pytest.raises(TimeoutError):
            waiting.result(timeout=5)
        lock.close()
        assert len(waiting.result(timeout=60)) == len(FILES)


def test_nothing_is_written_to_the_users_settings(store: Store, tmp_path: Path, home: Path) -> None:
    fill(store)

    pin_all(store, find_project(store, tmp_path), remote=str(tmp_path / "remote"))

    assert list(home.rglob("*")) == []
    config = (tmp_path / "store" / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config


SELECTED = """
import dagster as dg

@dg.asset(group_name="toys")
def wanted(): ...

@dg.asset(group_name="others")
def unwanted():
    raise RuntimeError("not selected")

defs = dg.Definitions(assets=[wanted, unwanted])
"""


def test_dagster_reads_selections_with_dvc_installed(tmp_path: Path) -> None:
    """DVC once forced an ANTLR on the environment with which Dagster's selection parser dies (facts, 1.1)."""
    import dvc as installed
    from dagster import AssetSelection

    assert installed.__version__
    assert AssetSelection.from_string('group:"toys" and not key:"wanted+"') is not None
    (tmp_path / "selected.py").write_text(SELECTED)
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dagster",
            "asset",
            "materialize",
            "--select",
            "group:toys",
            "-f",
            "selected.py",
        ],
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "ASSET_MATERIALIZATION" in done.stderr + done.stdout
