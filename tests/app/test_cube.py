"""Volumes on a cube, and back on their own grid."""

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from app.data.cube import cube_grid, from_cube, to_cube
from app.data.intensity import IntensityRule
from app.data.volume import Volume
from app.errors import UserError


def rotated(affine, degrees):
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


@pytest.mark.parametrize("kind", ["anisotropic", "flipped", "reordered", "rotated"])
def test_masks_come_back_onto_the_grid_they_came_from(kind, rng):
    """A mask on another grid than its image is measured in the wrong place."""
    array = gaussian_filter(rng.random((40, 44, 36)), 4)
    array = (array > np.quantile(array, 0.8)).astype("float32") + 1e-3
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    if kind == "anisotropic":
        array, affine = array[:, :, ::3], np.diag([2.0, 2.0, 6.0, 1.0])
    if kind == "rotated":
        affine = rotated(affine, 30)
    image = nibabel.Nifti1Image(array, affine)
    if kind in ("flipped", "reordered"):
        order = [0, 1, 2] if kind == "flipped" else [2, 0, 1]
        image = image.as_reoriented(np.stack([order, [-1, 1, -1]], axis=1))
    volume = Volume(np.asarray(image.dataobj), image.affine)
    grid = cube_grid(volume, 64, 1.5)
    back = from_cube(to_cube(volume, grid), grid, volume)
    found, truth = back > 0.5, volume.array > 0.5
    assert back.shape == volume.array.shape
    assert 2 * np.sum(found & truth) / (found.sum() + truth.sum()) > (0.9 if kind == "anisotropic" else 0.95)
    middle = grid.affine @ [31.5, 31.5, 31.5, 1]
    wanted = volume.affine @ [*((np.array(volume.array.shape) - 1) / 2), 1]
    assert np.allclose(middle, wanted, atol=1e-6), "the cube is not around the middle"


def test_the_cube_shows_the_same_whatever_the_order_of_axes(rng):
    """A probe does not look another way because the converter stored it so."""
    volume = Volume(rng.random((20, 24, 28)).astype("float32"), np.diag([2.0, 3.0, 2.5, 1.0]))
    first = to_cube(volume, cube_grid(volume, 32, 3.0))
    image = nibabel.Nifti1Image(volume.array, volume.affine).as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
    other = Volume(np.asarray(image.dataobj), image.affine)
    assert np.allclose(to_cube(other, cube_grid(other, 32, 3.0)), first, atol=1e-5)


def test_intensities_are_scaled_by_what_is_shown():
    """The zeros outside of the sector must not set the scale."""
    array = np.zeros((10, 10, 10))
    array[3:6, 3:6, 3:6] = np.linspace(50, 100, 27).reshape(3, 3, 3)
    found = IntensityRule().unit_range(array)
    assert found.max() == 1.0
    assert found[0, 0, 0] == 0.0
    assert abs(found[3, 3, 3] - 0.5) < 0.01


def test_a_volume_larger_than_the_cube_is_refused():
    """Cutting it would cut kidneys; an empty border does not count."""
    array = np.zeros((60, 30, 30), "float32")
    array[20:40] = 1
    volume = Volume(array, np.eye(4))
    cube_grid(volume, 32, 1.0)
    with pytest.raises(UserError, match="cube holds 16 mm"):
        cube_grid(volume, 16, 1.0)
