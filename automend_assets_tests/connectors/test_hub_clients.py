"""The loopback Hub against the unmodified clients, in processes of their own that know it by HF_ENDPOINT."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from automend_assets.settings import project_root
from automend_assets_tests.servers.hub import LoopbackHub

REALDATA_HUB = project_root().parent / "shared" / "realdata" / "hub"
Run = Callable[..., str]


@pytest.fixture
def server() -> Iterator[LoopbackHub]:
    assert REALDATA_HUB.is_dir(), f"{REALDATA_HUB} is missing: it holds the real rows that this test reads"
    with LoopbackHub(REALDATA_HUB) as server:
        yield server


@pytest.fixture
def run(server: LoopbackHub, tmp_path: Path) -> Run:
    """Run a script in a process that uses the server; its output."""

    def run(script: str, token: str | None = None) -> str:
        environment = os.environ | server.environment(tmp_path / "hf", token=token)
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2_000:]
        return done.stdout

    return run


def test_datasets_loads_json_and_parquet_streaming_and_not(run: Run) -> None:
    printed = run(
        "from datasets import load_dataset\n"
        "glaive = 'glaiveai/glaive-function-calling-v2'\n"
        "print(sum(1 for _ in load_dataset(glaive, split='train', streaming=True)))\n"
        "print(len(load_dataset(glaive, split='train')))\n"
        "medquad = load_dataset('lavita/MedQuAD', split='train', streaming=True)\n"
        "print(len(next(iter(medquad))))\n"
        "stack = 'bigcode/the-stack-dedup'\n"
        "stack = load_dataset(stack, data_dir='data/yaml', split='train', streaming=True)\n"
        "print(sum(1 for _ in stack))"
    )
    assert printed.split() == ["870", "870", "13", "7600"]


def test_a_model_is_uploaded_tagged_listed_and_downloaded(
    run: Run, server: LoopbackHub, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "sub" / "model.safetensors").write_bytes(b"\0" * 3_000_000)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Model\n")
    printed = run(
        "import filecmp, pathlib\n"
        "from huggingface_hub import HfApi, snapshot_download\n"
        "api = HfApi()\n"
        "api.create_repo('alice/model')\n"
        f"commit = api.upload_folder(repo_id='alice/model', folder_path={str(folder)!r})\n"
        "api.create_tag('alice/model', tag='v1')\n"
        "api.upload_file(repo_id='alice/model', path_or_fileobj=b'{}', path_in_repo='config.json')\n"
        "copy = snapshot_download('alice/model', revision='v1')\n"
        f"same = filecmp.cmpfiles({str(folder)!r}, copy, api.list_repo_files('alice/model', revision='v1'))\n"
        "print(*sorted(same[0]), same[1:])\n"
        "print(api.list_repo_refs('alice/model').tags[0].target_commit == commit.oid)\n"
        "print(len(api.list_repo_commits('alice/model')))\n"
        "print(api.whoami()['name'])",
        token="hf_rw",
    )
    assert printed.splitlines() == [
        "README.md config.json sub/model.safetensors ([], [])",
        "True",
        "3",
        "alice",
    ]
    assert any(r.method == "PUT" and r.path.startswith("/_lfs/") for r in server.requests)


def test_the_clients_raise_their_own_errors(run: Run, server: LoopbackHub) -> None:
    server.restrict("models", "microsoft/codebert-base", gated=True)
    printed = run(
        "from huggingface_hub import HfApi, hf_hub_download\n"
        "from datasets import load_dataset\n"
        "def name(call, *args, **kwargs):\n"
        "    try: call(*args, **kwargs)\n"
        "    except Exception as error: print(type(error).__name__, getattr(error, 'response', None) and "
        "error.response.status_code)\n"
        "api = HfApi()\n"
        "name(hf_hub_download, 'microsoft/codebert-base', 'vocab.json')\n"
        "name(api.model_info, 'microsoft/none')\n"
        "name(api.dataset_info, 'lavita/MedQuAD', revision='gone')\n"
        "name(hf_hub_download, 'lavita/MedQuAD', 'gone.txt', repo_type='dataset')\n"
        "name(HfApi(token='hf_bad').model_info, 'microsoft/codebert-base')\n"
        "name(api.create_repo, 'bob/model')\n"
        "name(load_dataset, 'lavita/None', streaming=True)\n"
        "api = HfApi(token='hf_rw')\n"
        "api.create_repo('alice/model')\n"
        "parent = api.model_info('alice/model').sha\n"
        "for content in (b'1', b'2'):\n"
        "    name(api.upload_file, repo_id='alice/model', path_or_fileobj=content, path_in_repo='a.json', "
        "parent_commit=parent)\n",
        token="hf_ro",
    )
    assert printed.splitlines() == [
        "GatedRepoError 403",
        "RepositoryNotFoundError 404",
        "RevisionNotFoundError 404",
        "RemoteEntryNotFoundError 404",
        "HfHubHTTPError 401",
        "HfHubHTTPError 403",
        "DatasetNotFoundError None",
        "HfHubHTTPError 412",
    ]
