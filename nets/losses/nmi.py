"""Normalised mutual information from soft histograms."""

from keras import ops


def nmi_loss(fixed, moved, bins=32, max_bins=None, epsilon=1e-7):
    """Negative normalised mutual information of two images in [0, 1].

    Formula: `-(H(fixed) + H(moved)) / H(fixed, moved)` over a joint histogram in which each
    voxel is shared between bins by `softmax(-(x - c)^2 / (2 s^2))`, `s = 0.5 / (bins - 1)`
    (Viola and Wells, 1997; the HyperMorph paper, section 3.1). Where `bins` is a tensor the
    histogram has `max_bins` places of which each sample uses its own number.

    Args:
        fixed: Tensor `(batch, i, j[, k], channels)`, values in [0, 1].
        moved: Tensor of the same shape.
        bins: Number of bins, 2 or more: a number, or a tensor `(batch,)`, not necessarily
            of integers (the bins are spread over [0, 1] accordingly).
        max_bins: Places of the histogram; needed where `bins` is a tensor.
        epsilon: Floor of probabilities within logarithms.

    Returns:
        Tensor `(batch,)` from -2 (each determines the other) to -1 (independent).

    Raises:
        ValueError: If `bins` is a tensor and `max_bins` is missing.
    """
    if max_bins is None:
        if getattr(bins, "shape", ()):
            raise ValueError("nmi_loss needs `max_bins` where `bins` is a tensor. Received: max_bins=None")
        max_bins = int(bins)
    bins = ops.reshape(ops.cast(bins, "float32"), (-1, 1, 1))
    shares_f = _soft_histogram(fixed, bins, max_bins)
    shares_m = _soft_histogram(moved, bins, max_bins)
    voxels = ops.cast(ops.shape(shares_f)[1], "float32")
    joint = ops.matmul(ops.swapaxes(shares_f, 1, 2), shares_m) / voxels
    entropies = [_entropy(p, epsilon) for p in (ops.sum(joint, axis=2), ops.sum(joint, axis=1), joint)]
    return -(entropies[0] + entropies[1]) / ops.maximum(entropies[2], epsilon)


def _soft_histogram(image, bins, max_bins):
    """Share of each voxel in each bin: `(batch, voxels, max_bins)`, rows sum to 1."""
    values = ops.reshape(image, (ops.shape(image)[0], -1, 1))
    index = ops.reshape(ops.arange(max_bins, dtype="float32"), (1, 1, -1))
    centres = index / (bins - 1.0)
    logits = -2.0 * ops.square((values - centres) * (bins - 1.0))
    return ops.softmax(ops.where(index < bins, logits, -1e9), axis=-1)


def _entropy(probability, epsilon):
    flat = ops.reshape(probability, (ops.shape(probability)[0], -1))
    return -ops.sum(flat * ops.log(flat + epsilon), axis=-1)
