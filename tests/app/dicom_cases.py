"""A series and what it must be read as."""

import numpy as np

from app.data.dicom import read_dicom_folder
from tests.app.dicom_files import (
    AFFINE,
)


def check(folder, array, affine=AFFINE, flags=(), part=None):
    """The one volume of a folder: values where they belong, and exactly what must be said of it."""
    (series,), refused = read_dicom_folder(folder, part)
    assert not refused
    assert len(series.flags) == len(flags), series.flags
    for flag, words in zip(series.flags, flags, strict=True):
        assert words in flag
    volume = series.volume()
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(volume.array, np.transpose(array, (2, 1, 0)))
    return volume
