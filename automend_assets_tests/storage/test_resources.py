"""The store and the ledger as resources: lazy, from the environment, silent about passwords."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dagster import EnvVar, asset, materialize

from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.versions.database import LedgerUnavailable
from automend_assets_tests.versions.manifests import manifest


def test_assets_get_store_and_ledger_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StoreResource(url=EnvVar("AUTOMEND_STORE"))
    ledger = LedgerResource(url=EnvVar("AUTOMEND_LEDGER"))
    monkeypatch.setenv("AUTOMEND_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("AUTOMEND_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")

    @asset
    def cut(store: StoreResource, ledger: LedgerResource) -> str:
        assert store.get().root == str(tmp_path / "store")
        return ledger.get().cut(manifest()).key

    result = materialize([cut], resources={"store": store, "ledger": ledger})
    assert result.output_for_node("cut") == "v0001"


def test_a_password_is_in_no_text_about_the_ledger() -> None:
    resource = LedgerResource(url="postgresql://me:tops3cret@127.0.0.1:1/automend")
    assert "tops3cret" not in repr(resource) + str(resource) + repr(resource.get())
    with pytest.raises(LedgerUnavailable) as raised:
        resource.get().keys("glaive")
    assert "tops3cret" not in str(raised.value)


def test_loading_the_resources_imports_no_client_of_the_outside() -> None:
    code = (
        "import sys, automend_assets.storage.io_managers, automend_assets.versions.cutting\n"
        "heavy = {'s3fs', 'botocore', 'boto3', 'psycopg2', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
