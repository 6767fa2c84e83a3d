"""What tests of several tasks share."""

import pytest

from app.data.phantoms.config import KidneysConfig
from app.data.phantoms.kidneys import write_kidneys


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Eight simulated adults and eight children with kidneys on disk: their CSV."""
    return write_kidneys(tmp_path_factory.mktemp("kidneys"), KidneysConfig(adults=8, children=8, detail_mm=7.0))
