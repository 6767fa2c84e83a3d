"""What tests of this folder share."""

import pytest

from tests.segmentation.deform_cases import SIZE


@pytest.fixture
def images(rng):
    return rng.random((2, SIZE, SIZE, SIZE, 1), dtype="float32")
