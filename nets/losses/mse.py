"""Mean squared difference of intensities."""

from keras import ops


def mse_loss(fixed, moved, image_sigma=1.0):
    """Mean squared difference.

    Formula: `mean((fixed - moved)^2) / image_sigma^2`.

    Args:
        fixed: Tensor `(batch, i, j[, k], channels)`.
        moved: Tensor of the same shape.
        image_sigma: Standard deviation of the image noise, in units of intensity (the
            HyperMorph paper, section 4.1: "scaled by a constant estimated image noise").

    Returns:
        Tensor `(batch,)`, 0 at equality.
    """
    axes = tuple(range(1, len(fixed.shape)))
    return ops.mean(ops.square(fixed - moved), axis=axes) / image_sigma**2
