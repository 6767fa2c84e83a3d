"""Intensities, types and box sums."""

import keras
import numpy as np
import pytest
from keras import ops

from nets.ops import (
    box_sum,
    sample,
)
from nets.ops.intensity import to_unit_range
from tests.derivatives import gradients
from tests.nets.op_cases import numpy, scipy_sample


@pytest.mark.parametrize("window", [3, 9])
def test_box_sum_equals_direct_sum(rng, window):
    """A window off by one changes every local correlation."""
    from scipy.ndimage import uniform_filter

    x = rng.random((2, 7, 11, 8, 1)).astype("float32")
    expected = np.stack([uniform_filter(v[..., 0], window, mode="constant") for v in x]) * window**3
    np.testing.assert_allclose(numpy(box_sum(x, window))[..., 0], expected, rtol=1e-4, atol=1e-4)
    each = numpy(box_sum(x, np.array([window, 3], "float32")))
    np.testing.assert_allclose(each[0, ..., 0], expected[0], rtol=1e-4, atol=1e-4)


def test_wrong_shapes_are_named():
    """A silent broadcast would warp with rubbish."""
    with pytest.raises(ValueError, match="displacement.shape"):
        sample(np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match="method"):
        sample(np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4, 2)), "cubic")


def test_unit_range_equals_percentiles(rng):
    """Training, registration and export share this rule; a different one would shift every image."""
    image = rng.normal(100, 20, size=(2, 9, 8, 7, 1)).astype("float32")
    low, high = (np.percentile(image.reshape(2, -1), q, axis=1).reshape(2, 1, 1, 1, 1) for q in (1, 99))
    expected = np.clip((image - low) / (high - low), 0, 1)
    np.testing.assert_allclose(numpy(to_unit_range(image, 1, 99, "included")), expected, atol=1e-5)
    whole = numpy(to_unit_range(image, 0, 100, "included"))
    assert [(sample_.min(), sample_.max()) for sample_ in whole] == [(0.0, 1.0)] * 2
    assert not numpy(to_unit_range(np.ones((1, 3, 3, 1)))).any()


@pytest.mark.parametrize("background", [0.0, -1024.0, 7.0])
def test_background_has_no_part_in_the_percentiles(rng, background):
    """An image that is half air would have its percentiles in the air, and each sample has another half."""
    image = background + rng.uniform(20, 90, size=(3, 9, 8, 7, 1)).astype("float32")
    for sample_, share in zip(image, (0.2, 0.5, 0.9), strict=True):
        sample_[rng.random(sample_.shape) < share] = background
    found = numpy(to_unit_range(image))
    for sample_, ours in zip(image, found, strict=True):
        low, high = np.percentile(sample_[sample_ > background], [0.5, 99.5])
        low = 0.0 if background == 0 else low
        np.testing.assert_allclose(ours, np.clip((sample_ - low) / (high - low), 0, 1), atol=1e-5)


def test_a_mask_is_its_own_unit_range():
    """Two values leave no percentile between them; the image must not become black."""
    mask = np.zeros((1, 6, 6, 6, 1), "float32")
    mask[0, 2:4, 2:4, 2:4] = 3.0
    np.testing.assert_array_equal(numpy(to_unit_range(mask)), mask / 3)
    np.testing.assert_array_equal(numpy(to_unit_range(mask + 5)), mask / 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_volumes_have_float32_coordinates(rng, dtype):
    """Positions in half precision would be off by a voxel from voxel 256 on; so would the field's gradient."""
    # Every other of 400 voxels; small integers are exact in half precision, 300.5 is not.
    volume = np.tile(np.arange(2.0, dtype="float32"), 200).reshape(1, 400, 1, 1)
    displacement = np.full((1, 400, 1, 2), 0.25, "float32")
    moved = sample(ops.cast(volume, dtype), displacement)
    assert keras.backend.standardize_dtype(moved.dtype) == dtype
    expected = numpy(sample(volume, displacement))
    np.testing.assert_allclose(numpy(ops.cast(moved, "float32")), expected, atol=2e-3)

    def total(v, u):
        return ops.sum(ops.cast(sample(ops.cast(v, dtype), u), "float32") * ops.convert_to_tensor(volume))

    for half, full in zip(
        gradients(total, volume, displacement),
        gradients(lambda v, u: ops.sum(sample(v, u) * ops.convert_to_tensor(volume)), volume, displacement),
        strict=True,
    ):
        np.testing.assert_allclose(half, full, atol=1e-2)


def test_integer_labels_stay_integers(rng):
    """A label map that comes back as floats cannot be compared or written as labels."""
    labels = rng.integers(0, 30000, size=(1, 5, 6, 4, 1)).astype("int32")
    displacement = rng.uniform(-2, 2, size=(1, 5, 6, 4, 3)).astype("float32")
    moved = numpy(sample(labels, displacement, "nearest"))
    assert moved.dtype == np.int32
    np.testing.assert_array_equal(moved, scipy_sample(labels, displacement, order=0))
