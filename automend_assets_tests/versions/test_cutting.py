"""Cutting a version everywhere: ledger, store and Dagster, in a folder and in S3."""

from __future__ import annotations

import os

import pytest
from dagster import DagsterInstance

from automend_assets.storage.store import Store, StoreNotWritable
from automend_assets.versions.cutting import MANIFEST_NAME, cut_version, load_manifest
from automend_assets.versions.ledger import Ledger, VersionNotFound
from automend_assets.versions.manifest import ManifestChanged
from automend_assets_tests.versions.manifests import manifest


def test_a_cut_is_known_to_ledger_store_and_dagster(
    any_store: Store, ledger: Ledger, instance: DagsterInstance
) -> None:
    version = cut_version(manifest(), ledger=ledger, store=any_store, instance=instance)
    assert version.key == "v0001"
    assert any_store.read_bytes("glaive", "v0001", MANIFEST_NAME) == manifest().canonical()
    assert list(instance.get_dynamic_partitions("glaive_versions")) == ["v0001"]
    assert cut_version(manifest(), ledger=ledger, store=any_store, instance=instance) == version
    assert load_manifest(ledger, any_store, "glaive", "v0001") == manifest()


def test_a_manifest_edited_in_the_store_is_refused_and_says_what_to_do(
    any_store: Store, ledger: Ledger
) -> None:
    cut_version(manifest(5_000), ledger=ledger, store=any_store)
    with any_store.write("glaive", "v0001", MANIFEST_NAME) as file:
        file.write_bytes(manifest(9_000).canonical())
    url = any_store.url("glaive", "v0001", MANIFEST_NAME)
    with pytest.raises(ManifestChanged) as raised:
        load_manifest(ledger, any_store, "glaive", "v0001")
    for part in (
        url,
        manifest(5_000).sha256,
        manifest(9_000).sha256,
        "Delete that file",
        "automend cut glaive",
    ):
        assert part in str(raised.value)
    any_store.path("glaive", "v0001", MANIFEST_NAME).unlink()
    assert load_manifest(ledger, any_store, "glaive", "v0001") == manifest(5_000)
    assert any_store.read_bytes("glaive", "v0001", MANIFEST_NAME) == manifest(5_000).canonical()


def test_an_unknown_version_leaves_nothing_in_the_store(store: Store, ledger: Ledger) -> None:
    with pytest.raises(VersionNotFound):
        load_manifest(ledger, store, "glaive", "v0001")
    assert not os.path.exists(store.root)  # noqa: PTH110


def test_a_cut_that_failed_at_the_store_is_completed_by_cutting_again(
    store: Store, ledger: Ledger, instance: DagsterInstance
) -> None:
    with pytest.raises(StoreNotWritable):
        cut_version(manifest(), ledger=ledger, store=Store("/dev/null/store"), instance=instance)
    assert list(instance.get_dynamic_partitions("glaive_versions")) == []
    assert cut_version(manifest(), ledger=ledger, store=store, instance=instance).key == "v0001"
    assert list(instance.get_dynamic_partitions("glaive_versions")) == ["v0001"]
