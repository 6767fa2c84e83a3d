"""Folding between voxels, against closed forms and the map itself."""

import itertools

import keras
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from nets.ops.folding import folding_percent, folding_voxels, non_diffeomorphic_percent
from nets.ops.jacobian import jacobian_determinant
from tests.segmentation.shapes import grid


def test_an_affine_map_folds_nowhere_or_everywhere():
    """A mirror folds every voxel; turning and scaling none."""
    turn = np.array([[0.6, -0.7, 0.1], [0.8, 0.5, 0.2], [0, 0.3, 1.1]])
    assert np.linalg.det(turn) > 0
    assert folding_voxels(grid(6) @ (turn - np.eye(3)).T) == 0
    assert folding_voxels(grid(6) @ (np.diag([1.0, -1.0, 1.0]) @ turn - np.eye(3)).T) == 6**3


def test_folds_that_alternate_are_seen():
    """To and fro from voxel to voxel: central differences see nothing, and each other cell is inside out."""
    displacement = np.zeros((8, 5, 6, 3), "float32")
    displacement[::2, ..., 0], displacement[1::2, ..., 0] = 0.6, -0.6
    central = keras.ops.convert_to_numpy(jacobian_determinant(displacement[None]))[0]
    assert central[1:-1].min() == pytest.approx(1)
    assert folding_voxels(displacement) == 8 * 5 * 6
    displacement[..., 0] *= 0.4 / 0.6
    assert folding_voxels(displacement) == 0


def test_what_folds_is_what_the_map_itself_does(rng):
    """Counted must be the voxels beside which the field, read linearly, turns a small tetrahedron inside out."""
    displacement = rng.normal(0, 0.35, (6, 7, 5, 3))
    places = np.stack(np.meshgrid(*map(np.arange, displacement.shape[:3]), indexing="ij"), axis=-1).astype(float)

    def to(where):
        moves = [map_coordinates(part, np.moveaxis(where, -1, 0), order=1, mode="nearest")
                 for part in np.moveaxis(displacement, -1, 0)]  # fmt: skip
        return where + np.stack(moves, axis=-1)

    folds = np.zeros(displacement.shape[:3], bool)
    last = np.array(displacement.shape[:3]) - 1
    for signs in np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(-1, 3):
        steps = 1e-3 * np.where((places + signs < 0) | (places + signs > last), -signs, signs)
        edges = [(to(places + steps * axis) - to(places)) / np.sum(steps * axis, axis=-1, keepdims=True)
                 for axis in np.eye(3)]  # fmt: skip
        folds |= np.linalg.det(np.stack(edges, axis=-1)) <= 0
    assert 0 < folds.sum() < folds.size
    assert folding_voxels(displacement) == folds.sum()


def test_slices_fold_likewise():
    """A 2D displacement that alternates must not count as smooth."""
    displacement = np.zeros((8, 5, 2), "float32")
    displacement[::2, :, 0], displacement[1::2, :, 0] = 0.6, -0.6
    assert folding_percent(displacement) == 100.0
    assert folding_percent(displacement * 0.5) == 0.0


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 4, 4, 2), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape):
    """An axis taken for another would count folds that are none."""
    with pytest.raises(ValueError, match="each axis 2 or longer"):
        folding_voxels(np.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6)])
def test_volume_that_is_turned_inside_out(shape):
    """Known from geometry: a mirror turns all of it, a mirror that halves turns half, a shift nothing."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype("float32")
    for factor, expected in ((-2.0, 100.0), (-1.5, 50.0), (0.5, 0.0)):
        displacement = np.zeros_like(places)
        displacement[..., 0] = factor * places[..., 0]
        assert non_diffeomorphic_percent(displacement) == pytest.approx(expected, abs=1e-4)


def test_one_voxel_that_leaves_its_cell():
    """A voxel pushed by 2 along an axis: of its 4 cells ahead each tetrahedron's volume, added up by hand."""
    displacement = np.zeros((5, 5, 5, 3), "float32")
    displacement[2, 2, 2, 0] = 2.0
    turned = 0.0
    for cell in itertools.product((1, 2), repeat=3):
        for simplex in _tetrahedra():
            corners = np.array(simplex) + cell
            moved = corners + displacement[tuple(corners.T)]
            signed, first = (np.linalg.det(points[1:] - points[0]) for points in (moved, corners))
            turned += max(0.0, -signed * np.sign(first)) / 6 / 2
    assert non_diffeomorphic_percent(displacement) == pytest.approx(100 * turned / 64, rel=1e-5)


def _tetrahedra():
    """Both ways to cut a cube into five, written out."""
    for tips in ([(0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)], [(1, 1, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]):
        for tip in tips:
            yield [tip, *[tuple(1 - c if axis == k else c for k, c in enumerate(tip)) for axis in range(3)]]
        yield [corner for corner in itertools.product((0, 1), repeat=3) if corner not in tips]
