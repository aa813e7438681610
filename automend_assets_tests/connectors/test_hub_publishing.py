"""Publishing against the loopback Hub with the unmodified client: once, again, after crashes, and refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from automend_assets.connectors.hub import (
    HubForbidden,
    HubResource,
    HubTokenInvalid,
    HubUnreachable,
)
from automend_assets.connectors.hub_publishing import PublishedOtherwise, publish
from automend_assets_tests.servers.hub import LoopbackHub

REPO = "alice/model"
WRITER = "hf_rw"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        for name, value in hub.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        # The client has read its environment when it was imported.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield hub


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path | bytes]:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(range(256)) * 64)
    return {"model.safetensors": weights, "README.md": b"# Card\n", "models/a-20260101.zip": weights}


def resource(server: LoopbackHub, token: str = WRITER) -> HubResource:
    return HubResource(endpoint=server.url, token=token, backoff_seconds=0.01, attempts=3)


def commits(server: LoopbackHub) -> list[str]:
    return [commit.title for commit in HfApi(server.url, token="hf_rw").list_repo_commits(REPO)]


def test_a_version_is_one_commit_and_a_tag_and_is_read_back(
    server: LoopbackHub, files: dict[str, Path | bytes], tmp_path: Path
) -> None:
    done = publish(resource(server), REPO, files, message="Version v0001", tag="v0001")
    assert done.created
    assert commits(server)[0] == "Version v0001"
    folder = Path(
        snapshot_download(
            REPO, revision="v0001", endpoint=server.url, token="hf_rw", local_dir=tmp_path / "read"
        )
    )
    for path, content in files.items():
        expected = content if isinstance(content, bytes) else content.read_bytes()
        assert (folder / path).read_bytes() == expected
    # What users were corrected to is nobody else's business until somebody says so.
    assert HfApi(server.url, token="hf_rw").model_info(REPO).private


def test_publishing_again_changes_nothing(server: LoopbackHub, files: dict[str, Path | bytes]) -> None:
    first = publish(resource(server), REPO, files, message="Version v0001", tag="v0001")
    before = commits(server)
    again = publish(resource(server), REPO, files, message="Version v0001", tag="v0001")
    assert (again.commit, again.created) == (first.commit, False)
    assert commits(server) == before


def test_a_version_never_changes(server: LoopbackHub, files: dict[str, Path | bytes]) -> None:
    publish(resource(server), REPO, files, message="Version v0001", tag="v0001")
    with pytest.raises(PublishedOtherwise, match="A version never changes"):
        publish(resource(server), REPO, {**files, "README.md": b"other"}, message="x", tag="v0001")


def test_the_next_version_replaces_the_model_and_keeps_earlier_archives(
    server: LoopbackHub, files: dict[str, Path | bytes], tmp_path: Path
) -> None:
    publish(
        resource(server), REPO, {**files, "1_Old/config.json": b"{}"}, message="Version v0001", tag="v0001"
    )
    second = {
        "model.safetensors": b"new" * 999,
        "README.md": b"# Two\n",
        "models/a-20260202.zip": b"zip" * 999,
    }
    publish(resource(server), REPO, second, message="Version v0002", tag="v0002")
    api = HfApi(server.url, token="hf_rw")
    assert set(api.list_repo_files(REPO)) - {".gitattributes"} == {*second, "models/a-20260101.zip"}
    old = hf_hub_download(REPO, "README.md", revision="v0001", endpoint=server.url, token="hf_rw")
    assert Path(old).read_bytes() == b"# Card\n"
    # An earlier version is published again after a later one: it is there already.
    assert not publish(
        resource(server), REPO, {**files, "1_Old/config.json": b"{}"}, message="Version v0001", tag="v0001"
    ).created


def test_what_was_interrupted_before_the_tag_is_finished(
    server: LoopbackHub, files: dict[str, Path | bytes]
) -> None:
    server.fail(r"/tag/", status=503, times=50)
    with pytest.raises(HubUnreachable):
        publish(resource(server), REPO, files, message="Version v0001", tag="v0001")
    before = commits(server)
    server._faults.clear()
    done = publish(resource(server), REPO, files, message="Version v0001", tag="v0001")
    assert commits(server) == before
    assert HfApi(server.url, token="hf_rw").model_info(REPO, revision="v0001").sha == done.commit


@pytest.mark.parametrize("step", [r"/repos/create", r"/preupload/", r"/commit/", r"/refs", r"/tree/"])
def test_failures_that_pass_are_tried_again(
    server: LoopbackHub, files: dict[str, Path | bytes], step: str
) -> None:
    server.fail(step, status=503, times=1)
    assert publish(resource(server), REPO, files, message="Version v0001", tag="v0001").created


def test_tokens_that_may_not_write_are_told(server: LoopbackHub, files: dict[str, Path | bytes]) -> None:
    with pytest.raises(HubForbidden, match=r"written.*HF_TOKEN"):
        publish(resource(server, "hf_ro"), REPO, files, message="x", tag="v0001")
    with pytest.raises(HubTokenInvalid):
        publish(resource(server, "hf_unknown"), REPO, files, message="x", tag="v0001")
