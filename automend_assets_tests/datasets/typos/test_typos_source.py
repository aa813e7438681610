"""Rows and base models: named once when a version is cut, and the same or refused when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from automend_assets.connectors.hub import HubRepoMissing, HubResource, HubTokenMissing
from automend_assets.connectors.interactions.log import Correction, InteractionsChanged
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.connectors.interactions.sqlite import SqliteLog
from automend_assets.connectors.sources import SourceChanged
from automend_assets.datasets.typos.artifact import ModelArtifact, write_artifact
from automend_assets.datasets.typos.encoder import UnusableModel, character_model
from automend_assets.datasets.typos.options import BundledBase, FolderBase, HubBase, PromotedBase
from automend_assets.datasets.typos.source import (
    BaseModelChanged,
    NoBaseModel,
    fetch_base,
    read_interactions,
    resolve_base,
    resolve_rows,
)
from automend_assets.pipeline.records import EmptySource, SourceNotReadable
from automend_assets.storage.archives import UnsafeArchive, pack
from automend_assets.storage.store import Store
from automend_assets.versions.manifest import Manifest, Source
from automend_assets_tests.servers.hub import LoopbackHub

TEXTS = ["car brand: toyota"]
REPO = "alice/typos"
WRITER = "hf_rw"


def manifest(source: Source, rows: int | None = None, seed: int = 1) -> Manifest:
    return Manifest(dataset="typos", source=source, rows=rows, seed=seed, shuffle_buffer=1)


def read(file: Path, text: str, rows: int | None = None, seed: int = 1) -> list[tuple[object, ...]]:
    file.write_text(text, encoding="utf-8")
    return read_interactions(
        manifest(resolve_rows("file", str(file)), rows, seed), InteractionsResource()
    ).rows()


def test_texts_of_a_file_stay_as_they_are(tmp_path: Path) -> None:
    text = (
        "\ufeffdomain,typo,corrected,other,created_at,id\n"
        'brand,NA,null,x,2026-01-05T08:00:00+02:00,7\nmodel,"a,""b\nc",,,not a time,9\nbrand,short\n'
    )
    assert read(tmp_path / "a.csv", text) == [
        (1, "NA", "null", "brand", datetime(2026, 1, 5, 6, tzinfo=UTC)),
        (2, 'a,"b\nc', "", "model", None),
        (3, "short", None, "brand", None),
    ]
    # Ids number the rows only where they number each of them once.
    assert [row[0] for row in read(tmp_path / "b.csv", "id,typo,corrected,domain\n7,a,b,c\n9,a,b,c\n")] == [
        7,
        9,
    ]
    assert [row[0] for row in read(tmp_path / "c.csv", "id,typo,corrected,domain\n7,a,b,c\n7,a,b,c\n")] == [
        1,
        2,
    ]


def test_of_many_rows_the_seed_draws(tmp_path: Path) -> None:
    text = "typo,corrected,domain\n" + "".join(f"t{number},c,brand\n" for number in range(200))
    drawn = [[row[0] for row in read(tmp_path / "a.csv", text, rows=20, seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(rows) for rows in drawn] == [20] * 3
    assert all(rows == sorted(rows) for rows in drawn)
    assert len(read(tmp_path / "a.csv", text, rows=500)) == 200


def test_files_that_are_no_interactions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotReadable, match="has no column corrected"):
        read(tmp_path / "a.csv", "typo,domain\na,b\n")
    with pytest.raises(EmptySource):
        read(tmp_path / "a.csv", "typo,corrected,domain\n")
    # One cell that is far too long is one row that validation refuses.
    assert len(read(tmp_path / "a.csv", "typo,corrected,domain\n" + "x" * 200_000 + ",b,c\na,b,c\n")) == 2
    source = resolve_rows("file", str(tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_text("typo,corrected,domain\na,b,c\n")
    with pytest.raises(SourceChanged):
        read_interactions(manifest(source), InteractionsResource())
    with pytest.raises(SourceNotReadable, match="sample, file or log"):
        resolve_rows("hub", None)


def test_a_range_of_the_log_is_what_it_was(tmp_path: Path) -> None:
    interactions = InteractionsResource(path=str(tmp_path / "log.sqlite"))
    with SqliteLog(tmp_path / "log.sqlite") as log:
        log.add([Correction(f"t{number}", "c", "brand") for number in range(5)])
        source = log.pin(1, 4)
    assert [row[:2] for row in read_interactions(manifest(source), interactions).rows()] == [
        (2, "t1"),
        (3, "t2"),
        (4, "t3"),
    ]
    import sqlite3

    with sqlite3.connect(tmp_path / "log.sqlite") as file:
        file.execute("update typo_training_dataset set typo = 'x' where id = 3")
    with pytest.raises(InteractionsChanged):
        read_interactions(manifest(source), interactions)


# Base models


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        for name, value in hub.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        yield hub


def resource(server: LoopbackHub) -> HubResource:
    return HubResource(endpoint=server.url, attempts=2, backoff_seconds=0.01)


def save(folder: Path, seed: int) -> Path:
    character_model(seed=seed, buckets=512).save(str(folder), create_model_card=False)
    return folder


def seed_of(model: object) -> int:
    """Which of a few seeds a model was made from."""
    for seed in range(20):
        if np.array_equal(
            model.encode(TEXTS),  # type: ignore[attr-defined]
            character_model(seed=seed, buckets=512).encode(TEXTS),
        ):
            return seed
    raise AssertionError("none of them")


def test_the_model_in_use_goes_before_the_hub_and_that_before_the_bundled_one(
    server: LoopbackHub, tmp_path: Path
) -> None:
    in_use = ("v0003", "a" * 64)
    save(tmp_path / "repo", 1)
    server.add_folder("models", REPO, tmp_path / "repo")
    hub = resource(server)
    assert resolve_base("auto", hub=hub, hub_repo=REPO, in_use=in_use) == PromotedBase(
        version="v0003", sha256="a" * 64
    )
    found = resolve_base("auto", hub=hub, hub_repo=REPO, in_use=None)
    assert isinstance(found, HubBase)
    assert (found.repo, found.path) == (REPO, "")
    assert resolve_base("hub", hub=hub, hub_repo=REPO, in_use=in_use) == found
    assert resolve_base("auto", hub=hub, hub_repo=None, in_use=None) == BundledBase()
    assert resolve_base("bundled", hub=hub, hub_repo=REPO, in_use=in_use) == BundledBase()
    # The first promoted model is what makes the repo; who asks for the Hub's wants no other.
    alice = HubResource(endpoint=server.url, token=WRITER, attempts=1)
    assert resolve_base("auto", hub=alice, hub_repo="alice/none", in_use=None) == BundledBase()
    with pytest.raises(HubRepoMissing):
        resolve_base("hub", hub=alice, hub_repo="alice/none", in_use=None)
    with pytest.raises(HubTokenMissing):
        resolve_base("auto", hub=hub, hub_repo="alice/none", in_use=None)
    for choice in ("promoted", "hub", "folder", "folder:", "best"):
        with pytest.raises(NoBaseModel):
            resolve_base(choice, hub=hub, hub_repo=None, in_use=None)


def test_the_newest_usable_model_of_a_repo_is_fetched(
    server: LoopbackHub, tmp_path: Path, store: Store
) -> None:
    models = tmp_path / "repo" / "models"
    models.mkdir(parents=True)
    for seed, date in ((1, "20250101"), (2, "01012026"), (3, "20240909")):
        pack(save(tmp_path / f"m{seed}", seed), models / f"finetuned-embedding-model-{date}.zip")
    (models / "finetuned-embedding-model-20261111.zip").write_bytes(b"no zip")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    (tmp_path / "pickled" / "modules.json").write_bytes(b"[]")
    pack(tmp_path / "pickled", models / "finetuned-embedding-model-20261010.zip")
    server.add_folder("models", REPO, tmp_path / "repo")
    found = resolve_base("hub", hub=resource(server), hub_repo=REPO, in_use=None)
    assert isinstance(found, HubBase)
    assert found.path == "models/finetuned-embedding-model-01012026.zip"
    model = fetch_base(found, hub=resource(server), store=store, folder=tmp_path)
    assert seed_of(model) == 2


def test_a_folder_of_a_repo_is_fetched_without_what_could_run(
    server: LoopbackHub, tmp_path: Path, store: Store
) -> None:
    save(tmp_path / "repo", 4)
    (tmp_path / "repo" / "pytorch_model.bin").write_bytes(b"a pickle")
    (tmp_path / "repo" / "modeling.py").write_text("raise SystemExit")
    server.add_folder("models", REPO, tmp_path / "repo")
    found = resolve_base("hub", hub=resource(server), hub_repo=REPO, in_use=None)
    assert seed_of(fetch_base(found, hub=resource(server), store=store, folder=tmp_path / "down")) == 4
    assert {path.suffix for path in (tmp_path / "down").rglob("*") if path.is_file()} == {
        ".json",
        ".safetensors",
    }


def test_a_repo_of_unusable_models_is_told(server: LoopbackHub, tmp_path: Path) -> None:
    (tmp_path / "repo" / "models").mkdir(parents=True)
    (tmp_path / "repo" / "models" / "model-20260101.zip").write_bytes(b"no zip")
    server.add_folder("models", REPO, tmp_path / "repo")
    with pytest.raises(NoBaseModel, match=r"model-20260101\.zip: it cannot be read"):
        resolve_base("auto", hub=resource(server), hub_repo=REPO, in_use=None)


def test_a_promoted_model_is_the_one_that_was_pinned(any_store: Store, tmp_path: Path) -> None:
    from hashlib import sha256

    with any_store.write("typos", "v0001", "finetuned_model.zip") as file:
        write_artifact(ModelArtifact(character_model(seed=5, buckets=512), [], {}), file)
    digest = sha256(any_store.read_bytes("typos", "v0001", "finetuned_model.zip")).hexdigest()
    base = PromotedBase(version="v0001", sha256=digest)
    assert seed_of(fetch_base(base, hub=HubResource(), store=any_store, folder=tmp_path)) == 5
    with pytest.raises(BaseModelChanged):
        fetch_base(
            base.model_copy(update={"sha256": "0" * 64}), hub=HubResource(), store=any_store, folder=tmp_path
        )


def test_a_folder_is_the_one_that_was_pinned(tmp_path: Path, store: Store) -> None:
    folder = save(tmp_path / "model", 6)
    base = resolve_base(f"folder:{folder}", hub=HubResource(), hub_repo=None, in_use=None)
    assert isinstance(base, FolderBase)
    assert seed_of(fetch_base(base, hub=HubResource(), store=store, folder=tmp_path)) == 6
    save(folder, 7)
    with pytest.raises(BaseModelChanged):
        fetch_base(base, hub=HubResource(), store=store, folder=tmp_path)


def test_hostile_models_of_the_hub_are_refused(server: LoopbackHub, tmp_path: Path, store: Store) -> None:
    save(tmp_path / "model", 1)
    (tmp_path / "model" / "evil.pkl").write_bytes(b"x")
    (tmp_path / "repo" / "models").mkdir(parents=True)
    pack(tmp_path / "model", tmp_path / "repo" / "models" / "model-20260101.zip")
    foreign = save(tmp_path / "repo" / "models" / "foreign-20250101", 1)
    (foreign / "modules.json").write_text('[{"type": "evil.Module", "path": ""}]')
    server.add_folder("models", REPO, tmp_path / "repo")
    hub = resource(server)
    with pytest.raises(NoBaseModel, match=r"evil\.pkl.*evil\.Module"):
        resolve_base("hub", hub=hub, hub_repo=REPO, in_use=None)
    # A manifest can name them all the same.
    pinned = HubBase(
        repo=REPO,
        revision=hub.resolve_revision(REPO, repo_type="model"),
        path="models/model-20260101.zip",
    )
    with pytest.raises(UnsafeArchive):
        fetch_base(pinned, hub=hub, store=store, folder=tmp_path / "a")
    other = pinned.model_copy(update={"path": "models/foreign-20250101"})
    with pytest.raises(UnusableModel):
        fetch_base(other, hub=hub, store=store, folder=tmp_path / "b")
