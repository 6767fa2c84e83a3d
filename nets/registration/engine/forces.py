"""Similarities of two images, and in which direction each voxel of the moved one should be read to raise them.

Every force is closed form: no tape runs through the warp. Images are `(batch, channels, i, j[, k])`.
"""

import numpy as np
from keras import ops

from nets.ops.stencil import box_taps, central, smooth

FLOOR = 1e-3  # of local variances, images in [0, 1]: flat regions get no say
NODES = 33  # of the joint distribution, along each axis
SPREAD = np.exp(-0.5 * (np.subtract.outer(np.arange(NODES), np.arange(NODES)) / 1.5) ** 2)
SPREAD = (SPREAD / SPREAD.sum(axis=0)).astype("float32")  # columns sum to 1: no mass is lost
ROUNDING = 1e-6  # a variance below it is rounding error
# Similarity -> length of a force, the longest of an image, below which it is taken to be near its optimum: a step is no
# longer brought to full length, or rounding errors alone would move equal images. A tenth of what brains begin with.
SIMILARITIES = {"ncc": 0.05, "mse": 0.002, "mind": 0.05, "nmi": 0.5}


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


def nmi_force(moved, fixed, weights):
    """Ascent direction of the normalised mutual information, `(H(f) + H(m)) / H(f, m)`.

    Formula: with p the joint distribution of the intensities, its bins linear hats, spread by a Gaussian of 1.5 bins,
    the derivative for a voxel's moved intensity is `sum_ab hat_a(f) hat_b'(m) (NMI log p_ab - log p_b) / H(f, m)`, the
    table spread likewise, times the moved image's slope.

    Args:
        moved: Tensor `(batch, 1, i, j[, k])`, in [0, 1].
        fixed: Tensor of the same shape, in [0, 1].
        weights: As for `ncc_force`.

    Returns:
        Force as of `ncc_force`, and the similarity `(batch,)`: from 1 to 2.

    Reference:
        - Studholme et al., An overlap invariant entropy measure of 3D medical image alignment, 1999.
    """
    batch, spatial = moved.shape[0], tuple(moved.shape[2:])
    rows = [ops.reshape(image, (batch, -1)) for image in (moved, fixed, weights + ops.zeros_like(moved))]
    (at_m, part_m), (at_f, part_f) = (_bin(image) for image in rows[:2])
    first = ops.reshape(ops.arange(batch, dtype="int32"), (batch, 1)) * (NODES * NODES) + at_f * NODES + at_m
    shares = {(0, 0): (1 - part_f) * (1 - part_m), (0, 1): (1 - part_f) * part_m}
    shares |= {(1, 0): part_f * (1 - part_m), (1, 1): part_f * part_m}
    places = ops.stack([first + down * NODES + right for down, right in shares])
    masses = ops.stack([rows[2] * share for share in shares.values()])
    joint = ops.segment_sum(ops.reshape(masses, (-1,)), ops.reshape(places, (-1,)), batch * NODES * NODES)
    joint = ops.reshape(joint, (batch, NODES, NODES))
    joint = joint / ops.maximum(ops.sum(joint, axis=(1, 2), keepdims=True), 1e-6)
    joint = ops.matmul(SPREAD, ops.matmul(joint, SPREAD.T))
    marginal = ops.sum(joint, axis=1, keepdims=True)  # of the moved image
    entropies = [_entropy(each) for each in (ops.sum(joint, axis=2, keepdims=True), marginal, joint)]
    value = (entropies[0] + entropies[1]) / ops.maximum(entropies[2], 1e-6)
    table = (value[:, None, None] * _log(joint) - _log(marginal)) / ops.maximum(entropies[2], 1e-6)[:, None, None]
    table = ops.matmul(SPREAD.T, ops.matmul(table, SPREAD))
    rise = ops.reshape(ops.pad(table[:, :, 1:] - table[:, :, :-1], ((0, 0), (0, 0), (0, 1))), (-1,))
    slope = (NODES - 1) * ((1 - part_f) * ops.take(rise, first) + part_f * ops.take(rise, first + NODES))
    return _along_slopes(ops.reshape(rows[2] * slope, (batch, 1, *spatial)), moved), value


def _bin(image):
    """The node below each intensity, and how far it is to the next."""
    place = ops.clip(image, 0.0, 1.0) * (NODES - 1)
    below = ops.minimum(ops.floor(place), NODES - 2.0)
    return ops.cast(below, "int32"), place - below


def _log(p):
    return ops.log(ops.maximum(p, 1e-7))


def _entropy(p):
    return -ops.sum(p * _log(p), axis=(1, 2))


def _along_slopes(factor, moved):
    axes = range(2, len(moved.shape))
    return ops.stack([ops.sum(factor * central(moved, axis), axis=1) for axis in axes], axis=1)


def _weighted_mean(values, weights):
    axes = tuple(range(1, len(values.shape)))
    weights = weights + ops.zeros_like(values)
    return ops.sum(weights * values, axis=axes) / ops.maximum(ops.sum(weights, axis=axes), 1e-6)
