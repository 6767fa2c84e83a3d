"""Mutual information from soft histograms."""

from keras import ops


def mi_loss(fixed, moved, bins=16, epsilon=1e-7):
    """Negative mutual information of two images: VoxelMorph's, number for number.

    Formula: `-sum p(f, m) log(p(f, m) / (p(f) p(m)))` over a joint histogram to which a voxel
    adds `exp(-(x - c)^2 / (2 s^2))` in each bin, `s = 0.5 / (bins - 1)`, bin centres from the
    smallest to the largest value of the whole batch. Unlike `nmi_loss` the shares of a voxel
    need not sum to 1, and its scale depends on the images.

    Args:
        fixed: Tensor `(batch, i, j[, k], 1)`, values in about [0, 1].
        moved: Tensor of the same shape.
        bins: Number of bins, 2 or more.
        epsilon: Floor of probabilities within logarithms.

    Returns:
        Tensor `(batch,)`; 0 where the images are independent, smaller the more they say
        of each other.

    Reference:
        - neurite 0.2, `MutualInformation`; Hoffmann et al., SynthMorph, 2022.
    """
    shares_f, shares_m = (_shares(ops.convert_to_tensor(image), bins) for image in (fixed, moved))
    joint = ops.matmul(ops.swapaxes(shares_f, 1, 2), shares_m)
    joint = joint / (ops.sum(joint, axis=(1, 2), keepdims=True) + epsilon)
    p_f, p_m = (ops.sum(shares, axis=1) for shares in (shares_f, shares_m))
    p_f, p_m = (p / (ops.sum(p, axis=1, keepdims=True) + epsilon) for p in (p_f, p_m))
    independent = p_f[:, :, None] * p_m[:, None, :]
    return -ops.sum(joint * ops.log(joint / (independent + epsilon) + epsilon), axis=(1, 2))


def _shares(image, bins):
    """What each voxel adds to each bin: `(batch, voxels, bins)`."""
    values = ops.reshape(image, (ops.shape(image)[0], -1, 1))
    low, high = ops.min(values), ops.max(values)
    centres = low + (high - low) * ops.arange(bins, dtype="float32") / (bins - 1.0)
    return ops.exp(-2.0 * (bins - 1.0) ** 2 * ops.square(values - centres))
