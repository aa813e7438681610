"""Cutting a version everywhere it has to be known, and finding its manifest again.

Here: the steps around a cut that touch more than the ledger. Not here: numbering (`ledger.py`) and making a
manifest from a source (each dataset's `source.py`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dagster import DagsterInstance

from automend_assets.storage.store import Store
from automend_assets.versions.manifest import Manifest, ManifestChanged
from automend_assets.versions.partitions import register

if TYPE_CHECKING:
    from automend_assets.versions.ledger import Ledger, Version

MANIFEST_NAME = "manifest.json"


def cut_version(
    manifest: Manifest, *, ledger: Ledger, store: Store, instance: DagsterInstance | None = None
) -> Version:
    """Cut `manifest`, copy it to the store and register the dataset's versions with `instance`.

    Every step is idempotent and the ledger comes first: a run that dies in between is completed by cutting
    the same manifest again, or by the next cut or materialisation of the dataset.
    """
    version = ledger.cut(manifest)
    load_manifest(ledger, store, version.dataset, version.key)
    if instance is not None:
        register(instance, ledger, version.dataset)
    return version


def load_manifest(ledger: Ledger, store: Store, dataset: str, key: str) -> Manifest:
    """The manifest of a version, after comparing its copy in the store with the ledger.

    A missing copy is written again. Raises VersionNotFound, or ManifestChanged when the copy was edited.
    """
    version = ledger.get(dataset, key)
    wanted = version.manifest.canonical()
    if not store.exists(dataset, key, MANIFEST_NAME):
        with store.write(dataset, key, MANIFEST_NAME) as file:
            file.write_bytes(wanted)
        return version.manifest
    found = store.read_bytes(dataset, key, MANIFEST_NAME)
    if found != wanted:
        url = store.url(dataset, key, MANIFEST_NAME)
        raise ManifestChanged(
            f"The manifest of {dataset} {key} at {url} was edited: its sha256 is "
            f"{hashlib.sha256(found).hexdigest()}, the ledger has {version.sha256}. Versions never change. "
            "Delete that file to have it written again from the ledger, and cut a new version for the new "
            f"settings: automend cut {dataset} --help"
        )
    return version.manifest
