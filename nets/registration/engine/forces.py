"""Similarities of two images, and in which direction each voxel of the moved one should be read to raise them.

Every force is closed form: no tape runs through the warp. Images are `(batch, channels, i, j[, k])`.
"""

from keras import ops

from nets.ops.stencil import box_taps, central, smooth

FLOOR = 1e-3  # of local variances, images in [0, 1]: flat regions get no say
ROUNDING = 1e-6  # a variance below it is rounding error
# Similarity -> length of a force, the longest of an image, below which it is taken to be near its optimum: a step is no
# longer brought to full length, or rounding errors alone would move equal images. A tenth of what brains begin with.
SIMILARITIES = {"ncc": 0.05, "mse": 0.002, "mind": 0.05}


def local_statistics(fixed, radius):
    """What the local correlation needs of the fixed image, which does not change.

    Args:
        fixed: Tensor `(batch, 1, i, j[, k])`.
        radius: Of the box about each voxel: `2 radius + 1` voxels wide.

    Returns:
        Local mean and variance, of the same shape; the variance at least `FLOOR`.
    """
    mean = smooth(fixed, box_taps(radius))
    return mean, ops.maximum(smooth(fixed * fixed, box_taps(radius)) - mean * mean, FLOOR)


def moved_statistics(moved, fixed, radius):
    """Local means of the moved image, its square and its product with the fixed one, `(batch, 3, i, j[, k])`."""
    return smooth(ops.concatenate([moved, moved * moved, fixed * moved], axis=1), box_taps(radius))


def ncc_force(moved, fixed, mean_fixed, variance_fixed, moved_means, weights):
    """Ascent direction of the squared local correlation.

    Formula: of `c^2 / (v_f v_m)` in the box about each voxel the derivative for the box's central voxel of the
    moved image, `2 c / (v_f v_m) (f - mean f - c / v_m (m - mean m))`, times the moved image's slope. The other
    boxes that the voxel is in are left out, as in ANTs (Avants et al., 2008, section 2.3): on brains the exact
    derivative registers worse.

    Args:
        moved: Tensor `(batch, 1, i, j[, k])`, in about [0, 1].
        fixed: Tensor of the same shape.
        mean_fixed: Of `local_statistics`.
        variance_fixed: Of `local_statistics`.
        moved_means: Of `moved_statistics`.
        weights: Tensor of the same shape or `(1, 1, 1, 1[, 1])`: how much each voxel counts.

    Returns:
        Force `(batch, rank, i, j[, k])` up to a positive factor, and the similarity `(batch,)`: the weighted mean of
        the squared correlation, from 0 to 1.
    """
    mean = moved_means[:, :1]
    variance = moved_means[:, 1:2] - mean * mean
    covariance = moved_means[:, 2:] - mean * mean_fixed
    ratio = covariance / (variance_fixed * ops.maximum(variance, FLOOR))
    # The gain is that of the box itself: under the floor's, equal images would push each other to more contrast.
    gain = covariance / ops.maximum(variance, ROUNDING)
    slope = ratio * (fixed - mean_fixed - gain * (moved - mean))
    return _along_slopes(weights * slope, moved), _weighted_mean(ratio * covariance, weights)


def mse_force(moved, fixed, weights):
    """Descent direction of the squared difference.

    Formula: `sum_c (f_c - m_c) grad m_c`.

    Args:
        moved: Tensor `(batch, channels, i, j[, k])`.
        fixed: Tensor of the same shape.
        weights: As for `ncc_force`.

    Returns:
        Force as of `ncc_force`, and the similarity `(batch,)`: minus the weighted mean of the squared difference.
    """
    difference = fixed - moved
    return _along_slopes(weights * difference, moved), -_weighted_mean(ops.square(difference), weights)


def _along_slopes(factor, moved):
    axes = range(2, len(moved.shape))
    return ops.stack([ops.sum(factor * central(moved, axis), axis=1) for axis in axes], axis=1)


def _weighted_mean(values, weights):
    axes = tuple(range(1, len(values.shape)))
    weights = weights + ops.zeros_like(values)
    return ops.sum(weights * values, axis=axes) / ops.maximum(ops.sum(weights, axis=axes), 1e-6)
