"""What tests of this folder share."""

import pytest

from app.notes import forget
from tests.app.warp_cases import write_files


@pytest.fixture(autouse=True)
def _new_command():
    """What an earlier test made a command say is said again."""
    forget()


@pytest.fixture
def array(rng):
    return rng.integers(0, 900, (6, 10, 12)).astype("uint16")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def warp_files(tmp_path_factory):
    """A moving image with labels and points, a fixed image, a warp and an affine, as files."""
    folder = tmp_path_factory.mktemp("apply")
    write_files(folder)
    return folder
