"""Versions of Glaive that several modules look at; they are materialised once, and tests only read them."""

from __future__ import annotations

import pytest

from automend_assets_tests.workplace import Workplace


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """v0001: 400 rows of the bundled sample, parsed by two workers."""
    workplace = Workplace(tmp_path_factory.mktemp("built"), AUTOMEND_WORKERS="2")
    assert workplace.build("--rows", "400") == "v0001"
    return workplace
