"""Manifests for tests: equal arguments, equal manifests."""

from __future__ import annotations

from pydantic import JsonValue

from automend_assets.versions.manifest import Manifest, SampleSource


def manifest(rows: int | None = 5_000, dataset: str = "glaive", **options: JsonValue) -> Manifest:
    return Manifest(
        dataset=dataset,
        source=SampleSource(sha256="5" * 64, bytes=1_000),
        rows=rows,
        seed=42,
        shuffle_buffer=10_000,
        options=options,
    )
