"""Filters and differences by shifted copies, against SciPy and NumPy."""

import numpy as np
import pytest
import scipy.ndimage

from nets.ops.stencil import backward, box_taps, central, forward, gaussian_taps, smooth
from tests.nets.test_ops import numpy


def normalised(array, taps):
    """SciPy's filter with zeros outside, over the sum of the taps that lie inside."""
    for axis in range(2, array.ndim):
        ones = np.ones(array.shape[axis])
        scale = scipy.ndimage.correlate1d(ones, taps, mode="constant")
        scale = scale.reshape([-1 if number == axis else 1 for number in range(array.ndim)])
        array = scipy.ndimage.correlate1d(array, taps, axis, mode="constant") / scale
    return array


@pytest.mark.parametrize("shape", [(2, 3, 9, 4, 7), (1, 2, 11, 3)])
@pytest.mark.parametrize("taps", [gaussian_taps(1.2), gaussian_taps(0.4), box_taps(1), box_taps(2)])
def test_smoothing_is_scipys_within_and_keeps_constants_at_the_border(rng, shape, taps):
    """A filter that loses weight at the border would pull fields to 0 there; axes may be shorter than the filter."""
    array = rng.normal(size=shape)
    np.testing.assert_allclose(numpy(smooth(array.astype("float32"), taps)), normalised(array, taps), atol=2e-6)
    constant = np.full(shape, 3.0, "float32")
    np.testing.assert_allclose(numpy(smooth(constant, taps)), constant, atol=1e-5)


def test_taps_are_a_gaussian_and_a_mean():
    """Weights that do not sum to 1 would change the length of every update."""
    taps = gaussian_taps(1.5)
    assert len(taps) == 11
    assert sum(taps) == pytest.approx(1.0)
    assert taps[5] / taps[3] == pytest.approx(np.exp(0.5 * (2 / 1.5) ** 2))
    assert box_taps(2) == (0.2,) * 5


def test_differences(rng):
    """A slope taken from the wrong side moves against the image."""
    array = rng.normal(size=(1, 2, 5, 6, 4)).astype("float32")
    for axis in (2, 3, 4):
        step = np.diff(array, axis=axis)
        none = np.zeros_like(array.take([0], axis))
        ahead, behind = np.concatenate([step, none], axis), np.concatenate([none, step], axis)
        np.testing.assert_allclose(numpy(forward(array, axis)), ahead, atol=1e-6)
        np.testing.assert_allclose(numpy(backward(array, axis)), behind, atol=1e-6)
        np.testing.assert_allclose(numpy(central(array, axis)), (ahead + behind) / 2, atol=1e-6)
