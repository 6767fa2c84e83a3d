"""Intensities brought to [0, 1]."""

from keras import ops


def to_unit_range(image, low_percentile=0.5, high_percentile=99.5, background="excluded"):
    """Map two percentiles of each image to 0 and 1, and clip.

    Formula: `clip((x - q_low) / (q_high - q_low), 0, 1)`. The percentiles are those of the voxels that are not
    background, which is the smallest value of a sample; where that is 0, as around a masked brain or an ultrasound
    sector, `q_low` is 0, so that background and the darkest tissue stay apart. A few very bright voxels, such as an
    electrode, so do not darken the rest.

    Args:
        image: Tensor `(batch, i, j[, k], channels)`.
        low_percentile: In [0, 100).
        high_percentile: In (low, 100].
        background: "excluded", or "included": the percentiles of all voxels, of which 0 and 100 are the minimum and
            the maximum.

    Returns:
        Float32 tensor of the same shape; a constant image becomes 0.
    """
    image = ops.cast(image, "float32")
    flat = ops.reshape(image, (ops.shape(image)[0], -1))
    least = ops.min(flat, axis=1, keepdims=True)
    excluded = background == "excluded"
    shown = flat > least if excluded else ops.ones_like(flat, dtype="bool")
    count = ops.sum(ops.cast(shown, "int32"), axis=1, keepdims=True)
    high = _from_the_top(flat, count, 1.0 - high_percentile / 100.0)
    low = -_from_the_top(ops.where(shown, -flat, -float("inf")), count, low_percentile / 100.0)
    if excluded:
        low = ops.where(least == 0, 0.0, low)
    usual = high > low  # nearly all voxels may be the same
    low, high = ops.where(usual, low, least), ops.where(usual, high, ops.max(flat, axis=1, keepdims=True))
    low, high = (ops.reshape(bound, [-1] + [1] * (len(image.shape) - 1)) for bound in (low, high))
    return ops.clip(ops.divide_no_nan(image - low, high - low), 0.0, 1.0)


def _from_the_top(flat, count, share):
    """The value that a share of the largest `count` values of each row exceeds, linear between two of them.

    Only that share is sorted: a whole sort of a brain takes TensorFlow seconds.
    """
    size = ops.shape(flat)[1]
    if isinstance(size, int):  # JAX and PyTorch need a number here, exported graphs have none
        kept = min(int(share * size) + 2, size)
    else:
        kept = ops.minimum(ops.cast(share * ops.cast(size, "float32"), "int32") + 2, size)
    largest = ops.top_k(flat, kept)[0]
    place = share * ops.cast(ops.maximum(count - 1, 0), "float32")
    below = ops.cast(ops.floor(place), "int32")
    above = ops.minimum(below + 1, ops.maximum(count - 1, 0))
    part = place - ops.cast(below, "float32")
    at_below, at_above = (ops.take_along_axis(largest, ops.minimum(at, kept - 1), axis=1) for at in (below, above))
    return at_below + part * (at_above - at_below)
