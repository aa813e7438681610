"""Which model is the newest: by date, whatever its name looks like as text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from automend_assets.datasets.typos.base_model import ModelFile, date_in, models_of

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("finetuned-embedding-model-20250131.zip", (2025, 1, 31)),
        ("finetuned-embedding-model-31012025.zip", (2025, 1, 31)),
        ("model-2025-01-31.zip", (2025, 1, 31)),
        ("model_31.01.2025.zip", (2025, 1, 31)),
        ("model-01012026.zip", (2026, 1, 1)),
        ("best.zip", None),
        ("model-99999999.zip", None),
        ("model-20251331.zip", None),
        ("model-123456789012.zip", None),
        ("v9.zip", None),
    ],
)
def test_dates_in_names(name: str, date: tuple[int, int, int] | None) -> None:
    assert date_in(name) == (datetime(*date, tzinfo=UTC) if date else None)


def test_the_newest_is_not_the_last_as_text() -> None:
    files = [
        ModelFile("models/finetuned-embedding-model-20250101.zip", LATE),
        ModelFile("models/finetuned-embedding-model-01012026.zip", EARLY),
        ModelFile("models/finetuned-embedding-model-9.zip", None),
        ModelFile("models/best.zip", datetime(2024, 1, 1, tzinfo=UTC)),
        ModelFile("README.md", LATE),
    ]
    assert [model.path.removeprefix("models/finetuned-embedding-model-") for model in models_of(files)] == [
        "01012026.zip",
        "20250101.zip",
        "models/best.zip",
        "9.zip",
    ]


def test_folders_and_the_repository_itself_are_models_too() -> None:
    files = [
        ModelFile("modules.json", EARLY),
        ModelFile("model.safetensors", LATE),
        ModelFile("models/a/modules.json", EARLY),
        ModelFile("models/a/0_X/model.safetensors", EARLY),
        ModelFile("models/pickled/modules.json", LATE),
        ModelFile("models/pickled/pytorch_model.bin", LATE),
    ]
    assert [(model.path, model.is_archive) for model in models_of(files)] == [
        ("", False),
        ("models/a", False),
    ]
    assert models_of([]) == []
