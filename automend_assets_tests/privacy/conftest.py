"""What the tests of privacy share: compiled scanners."""

from __future__ import annotations

import pytest

from automend_assets.privacy.scanner import Scanner


@pytest.fixture(scope="session")
def scanner() -> Scanner:
    return Scanner(engine="hyperscan")


@pytest.fixture(scope="session")
def re2_scanner() -> Scanner:
    return Scanner(engine="re2")
