"""What all tests share: where the reference data lies, and a home of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("AIFEEDBACK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real pairs and recorded critics' texts; skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the reference data is not at {DATA}; set AIFEEDBACK_TEST_DATA to its folder")
    return DATA
