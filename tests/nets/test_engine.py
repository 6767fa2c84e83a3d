"""The engine: its forces against finite differences, its fields against known ones."""

import numpy as np
import pytest
import scipy.ndimage
from keras.ops import convert_to_tensor as tensor

from nets.ops import sample
from nets.ops.folding import folding_voxels
from nets.registration.engine.deformable import register_pairs
from nets.registration.engine.forces import (
    FLOOR,
    local_statistics,
    moved_statistics,
    mse_force,
    ncc_force,
    nmi_force,
)
from nets.registration.engine.method import Level, Method
from tests.nets.test_ops import numpy

LEVELS = (Level(4, 30), Level(2, 30), Level(1, 20, 1))


def texture(rng, shape, scale=1.5):
    image = scipy.ndimage.gaussian_filter(rng.normal(size=shape), scale)
    image = (image - image.min()) / np.ptp(image)
    return image.astype("float32")


def bend(rng, shape, size):
    field = np.stack([scipy.ndimage.gaussian_filter(rng.normal(size=shape), 5) for _ in shape], axis=-1)
    return (size * field / np.abs(field).max()).astype("float32")


def pair(rng, shape, size=2.0):
    """A textured image, the same through a smooth field, and the field: fixed = moving o (id + field)."""
    moving, field = texture(rng, shape), bend(rng, shape, size)
    fixed = numpy(sample(moving[None, ..., None], field[None]))[0, ..., 0]
    return moving[None, ..., None], fixed[None, ..., None], field


def test_the_correlation_is_that_of_boxes(rng):
    """The similarity that is logged, by SciPy's own box filter in the interior."""
    moved, fixed = (texture(rng, (9, 10, 11)) for _ in range(2))
    weights = np.zeros((1, 1, 9, 10, 11), "float32")
    weights[:, :, 2:-2, 2:-2, 2:-2] = 1.0
    weights = tensor(weights)
    first = [tensor(array[None, None]) for array in (moved, fixed)]
    statistics = local_statistics(first[1], 2)
    _, value = ncc_force(*first, *statistics, moved_statistics(*first, 2), weights)
    f, m = fixed.astype("float64"), moved.astype("float64")
    mean = {name: scipy.ndimage.uniform_filter(x, 5) for name, x in {"f": f, "m": m, "ff": f * f, "mm": m * m}.items()}
    covariance = scipy.ndimage.uniform_filter(f * m, 5) - mean["f"] * mean["m"]
    variances = [np.maximum(mean[2 * name] - mean[name] ** 2, FLOOR) for name in "fm"]
    inner = (slice(2, -2),) * 3
    assert float(numpy(value)[0]) == pytest.approx((covariance**2 / np.prod(variances, 0))[inner].mean(), rel=1e-4)


def test_the_force_of_the_correlation_is_the_central_voxels_derivative(rng):
    """Brighten one voxel: the correlation in its own box rises by the force's factor."""
    moved, fixed = (texture(rng, (7, 7, 7), 0.8).astype("float64") for _ in range(2))

    def correlation(image):
        f, m = fixed[2:5, 2:5, 2:5], image[2:5, 2:5, 2:5]
        return np.mean((f - f.mean()) * (m - m.mean())) ** 2 / (f.var() * m.var())

    step = 1e-4
    up, down = moved.copy(), moved.copy()
    up[3, 3, 3] += step
    down[3, 3, 3] -= step
    derivative = (correlation(up) - correlation(down)) / (2 * step) * 27 / 2  # of a mean of 27 voxels, squared
    first = [tensor(array[None, None].astype("float32")) for array in (moved, fixed)]
    weights = tensor(np.ones((1, 1, 1, 1, 1), "float32"))
    force, _ = ncc_force(*first, *local_statistics(first[1], 1), moved_statistics(*first, 1), weights)
    slopes = [(moved[4, 3, 3] - moved[2, 3, 3]) / 2, (moved[3, 4, 3] - moved[3, 2, 3]) / 2]
    slopes.append((moved[3, 3, 4] - moved[3, 3, 2]) / 2)
    np.testing.assert_allclose(numpy(force)[0, :, 3, 3, 3], derivative * np.array(slopes), rtol=2e-3)


def test_the_force_of_the_squared_difference(rng):
    """Against NumPy's gradient, channels summed."""
    moved, fixed = (rng.normal(size=(1, 2, 6, 7)).astype("float32") for _ in range(2))
    force, value = mse_force(tensor(moved), tensor(fixed), tensor(np.ones((1, 1, 1, 1), "float32")))
    slopes = np.stack(np.gradient(moved[0], axis=(1, 2)))
    expected = np.sum((fixed - moved)[0] * slopes, axis=1)
    np.testing.assert_allclose(numpy(force)[0, :, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5)
    assert float(numpy(value)[0]) == pytest.approx(-np.mean((fixed - moved) ** 2), rel=1e-5)


def test_the_force_of_mutual_information_is_its_derivative(rng):
    """Brighten one voxel: the value rises by the force's factor, in each pair of a batch by its own."""
    moved, fixed = (np.stack([texture(rng, (7, 8, 9)) for _ in range(2)])[:, None] for _ in range(2))
    fixed[1] = np.clip(1.0 - moved[1] ** 2, 0, 1)
    weights = tensor(np.ones((1, 1, 1, 1, 1), "float32"))

    def value(image):
        return numpy(nmi_force(tensor(image), tensor(fixed), weights)[1]).astype(float)

    force = numpy(nmi_force(tensor(moved), tensor(fixed), weights)[0])
    place, step = (slice(None), 0, 3, 4, 4), 2e-2
    up, down = moved.copy(), moved.copy()
    up[place] += step
    down[place] -= step
    derivative = (value(up) - value(down)) / (2 * step) * 7 * 8 * 9
    slope = (moved[:, 0, 4, 4, 4] - moved[:, 0, 2, 4, 4]) / 2
    np.testing.assert_allclose(force[:, 0, 3, 4, 4], derivative * slope, rtol=0.1, atol=2e-3)


@pytest.mark.parametrize(("similarity", "left"), [("ncc", 0.25), ("mse", 0.25), ("nmi", 0.45), ("mind", 0.45)])
@pytest.mark.parametrize("shape", [(32, 36, 30), (48, 40)])
def test_a_known_field_is_recovered(rng, shape, similarity, left):
    """In 2D as in 3D, most of what had to be found, without folding."""
    moving, fixed, truth = pair(rng, shape)
    field = numpy(register_pairs(moving, fixed, Method(LEVELS, similarity)))[0]
    inner = (slice(4, -4),) * len(shape)
    error = np.linalg.norm(field - truth, axis=-1)[inner].mean()
    assert error < left * np.linalg.norm(truth, axis=-1)[inner].mean()
    assert folding_voxels(field) == 0


def test_contrast_does_not_matter_to_the_local_correlation(rng):
    """Inverted and with another gain the field is the same: the similarity is a squared correlation."""
    moving, fixed, _ = pair(rng, (24, 28, 26))
    field, inverted = (numpy(register_pairs(image, fixed, Method(LEVELS))) for image in (moving, 1.0 - moving))
    np.testing.assert_allclose(inverted, field, atol=5e-3)


def test_pairs_do_not_touch_each_other(rng):
    """Steps are scaled per pair: a batch gives what its pairs give alone."""
    pairs = [pair(rng, (24, 20, 22), size) for size in (1.0, 2.5)]
    moving, fixed = (np.concatenate([each[place] for each in pairs]) for place in (0, 1))
    levels = (Level(2, 8), Level(1, 8))  # too few to stall, at which a batch stops together
    together = numpy(register_pairs(moving, fixed, Method(levels)))
    for number, (one_moving, one_fixed, _) in enumerate(pairs):
        np.testing.assert_allclose(
            together[number], numpy(register_pairs(one_moving, one_fixed, Method(levels)))[0], atol=1e-4
        )


def test_uncompiled_kernels_give_the_same(rng):
    """What a single pair runs on must not be another algorithm."""
    moving, fixed, _ = pair(rng, (24, 20, 22))
    once, repeated = (numpy(register_pairs(moving, fixed, Method(LEVELS, repeated=flag))) for flag in (False, True))
    np.testing.assert_allclose(once, repeated, atol=0.02)  # rounding grows over 80 iterations
    assert np.abs(once - repeated).mean() < 1e-3


def test_voxels_without_weight_do_not_count(rng):
    """A lesion that is masked out must not pull its surroundings."""
    moving, fixed, _ = pair(rng, (24, 28, 26))
    weights = np.ones_like(fixed)
    weights[:, 8:14, 8:14, 8:14] = 0.0
    damaged = np.where(weights == 0, 0.5, fixed).astype("float32")
    level = (Level(1, 10, 1),)
    # Beyond the boxes that reach into the mask nothing changes but by smoothing.
    clean, masked = (numpy(register_pairs(moving, image, Method(level, "mse"), weights)) for image in (fixed, damaged))
    np.testing.assert_allclose(masked, clean, atol=1e-5)
    unmasked = numpy(register_pairs(moving, damaged, Method(level, "mse")))
    assert np.abs(unmasked - clean).max() > 0.05


def test_equal_images_stay_where_they_are(rng):
    """And a level stops once the similarity stalls, before its iterations are spent."""
    image = texture(rng, (20, 20, 20))[None, ..., None]
    calls = []
    field = register_pairs(image, image, Method((Level(1, 200, 1),)), report=lambda *facts: calls.append(facts))
    assert np.abs(numpy(field)).max() < 0.1
    assert calls[-1][1] <= 20
    assert [calls[0][0], calls[0][1]] == [1, 1]
    assert float(calls[0][2][0]) > 0.9  # not 1 where the variance is below its floor


def test_wrong_arguments(rng):
    """A message of a kernel, deep below, would not say which argument is wrong."""
    image = texture(rng, (8, 8, 8))[None, ..., None]
    with pytest.raises(ValueError, match=r"fixed\.shape"):
        register_pairs(image, image[:, :4])
    with pytest.raises(ValueError, match="4 voxels or more"):
        register_pairs(image[:, :2], image[:, :2])
    with pytest.raises(ValueError, match="similarity"):
        Method(similarity="ssd")
