"""Measures of masks: against DeepMind's surface-distance, MedPy and SciPy, empty masks and single voxels among them."""

import warnings

import numpy as np
import pytest
import surface_distance
from medpy.metric.binary import dc, hd95
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from app.reporting.overlap import dice_per_label, hd95_per_label
from app.reporting.surfels import piece_sizes, robust_hausdorff, surface_dice, surface_distances

SPACINGS = ((1.0, 1.0, 1.0), (1.0, 2.0, 3.0), (0.7, 0.7, 5.0))


def masks(number):
    """Two masks that overlap in part: noise, blobs, single voxels, masks that touch the border, empty ones."""
    rng = np.random.default_rng(number)
    shape = tuple(rng.integers(6, 14, 3))
    smooth = gaussian_filter(rng.normal(size=shape), 1.5 * (number % 3))
    first = smooth > np.quantile(smooth, 0.7)
    second = np.roll(first, rng.integers(-2, 3, 3), (0, 1, 2)) ^ (rng.random(shape) < 0.02 * (number % 4))
    if number % 10 == 7:
        second = np.zeros(shape, bool)
        second[tuple(rng.integers(0, shape))] = True
    if number % 10 == 8:
        second = np.zeros(shape, bool)
    if number % 10 == 9:
        first, second = np.zeros(shape, bool), np.zeros(shape, bool)
    return first, second, SPACINGS[number % 3]


@pytest.mark.parametrize("number", range(50))
def test_random_masks(number):
    """Surface Dice and Hausdorff as DeepMind has them, HD95 as MedPy and SciPy have it, Dice as all do."""
    first, second, spacing = masks(number)
    distances = surface_distances(first, second, spacing)
    if not first.any() and not second.any():
        assert np.isnan(surface_dice(distances, 1.0))
        assert np.isnan(robust_hausdorff(distances))
        return
    own = hd95_per_label(first.astype(int), second.astype(int), 1, spacing)[0]
    if not first.any() or not second.any():  # both packages fail on an empty mask; nothing of one surface is near
        assert surface_dice(distances, 1.0) == 0.0
        assert robust_hausdorff(distances) == np.inf
        assert np.isnan(own)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of SciPy's old names, by the oracle
        theirs = surface_distance.compute_surface_distances(first, second, spacing)
    for tolerance in (0.0, 0.8, 2.0):
        expected = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
        assert surface_dice(distances, tolerance) == pytest.approx(expected, abs=1e-9)
    for percent in (50.0, 95.0, 100.0):
        expected = surface_distance.compute_robust_hausdorff(theirs, percent)
        assert robust_hausdorff(distances, percent) == pytest.approx(expected, abs=1e-9)
    assert own == pytest.approx(hd95(second, first, voxelspacing=spacing), abs=1e-9)
    assert own == pytest.approx(_by_scipy(first, second, spacing), abs=1e-9)
    assert dice_per_label(first.astype(int), second.astype(int), 1)[0] == pytest.approx(dc(first, second), abs=1e-12)


def _by_scipy(first, second, spacing):
    """The 95th percentile of all distances between surface voxels, of both masks together."""
    surfaces = [mask & ~binary_erosion(mask) for mask in (first, second)]
    apart = [distance_transform_edt(~surfaces[1 - side], sampling=spacing)[surfaces[side]] for side in (0, 1)]
    return np.percentile(np.concatenate(apart), 95)


def test_areas_of_a_box():
    """The surface of a box of 4 x 3 x 2 voxels, its edges and corners cut: known from geometry."""
    box = np.zeros((6, 5, 4), bool)
    box[1:5, 1:4, 1:3] = True
    area = sum(sizes.sum() for _, sizes in surface_distances(box, box, (1.0, 1.0, 1.0))) / 2
    flat, edges = 2 * (3 * 2 + 2 * 1 + 3 * 1), 4 * (3 + 2 + 1)
    assert area == pytest.approx(flat + edges * np.sqrt(0.5) + 8 * np.sqrt(3) / 8, abs=1e-5)


def test_contours_in_2d():
    """A square's outline, its corners cut; diagonal pixels have two pieces."""
    square = np.zeros((7, 8), bool)
    square[2:5, 2:5] = True
    length = surface_distances(square, square, (1.0, 1.0))[0][1].sum()
    assert length == pytest.approx(4 * 2 + 4 * np.sqrt(0.5))
    assert piece_sizes((1.0, 2.0))[0b1001] == pytest.approx(np.sqrt(5.0))
