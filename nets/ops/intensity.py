"""Intensities brought to [0, 1]."""

from keras import ops


def to_unit_range(image, low_percentile=0.0, high_percentile=100.0):
    """Map two percentiles of each image to 0 and 1, and clip.

    Formula: `clip((x - q_low) / (q_high - q_low), 0, 1)`, percentiles over all voxels of a
    sample; 0 and 100 are its minimum and maximum.

    Args:
        image: Tensor `(batch, i, j[, k], channels)`.
        low_percentile: In [0, 100).
        high_percentile: In (low, 100].

    Returns:
        Float32 tensor of the same shape; a constant image becomes 0.
    """
    image = ops.cast(image, "float32")
    flat = ops.reshape(image, (ops.shape(image)[0], -1))
    bounds = []
    for percentile in (low_percentile, high_percentile):
        if percentile in (0, 100):
            bound = ops.max(flat, axis=1) if percentile else ops.min(flat, axis=1)
        else:
            bound = ops.quantile(flat, percentile / 100.0, axis=1)
        bounds.append(ops.reshape(bound, [-1] + [1] * (len(image.shape) - 1)))
    low, high = bounds
    return ops.clip(ops.divide_no_nan(image - low, high - low), 0.0, 1.0)
