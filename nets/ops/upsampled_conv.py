"""Convolution of upsampled and skipped features without upsampling or joining them."""

import itertools

from keras import ops


def conv_upsampled(coarse, skip, kernel):
    """The convolution of a decoder: over coarse features upsampled by 2 beside finer ones.

    Formula: `conv(concatenate(upsample(coarse), skip), kernel)`, zeros outside. A 3-wide convolution
    of a nearest upsampling is a transposed convolution of stride 2, 4 wide: of the 27 products a voxel
    and channel 8 are left, and the upsampled and joined volumes are never made.

    Args:
        coarse: Tensor `(batch, i / 2, j / 2[, k / 2], channels)`.
        skip: Tensor `(batch, i, j[, k], other channels)`.
        kernel: Tensor `(3, 3[, 3], channels + other channels, filters)`.

    Returns:
        Tensor `(batch, i, j[, k], filters)`.
    """
    channels = coarse.shape[-1]
    widened = _widen(kernel[..., :channels, :])
    fine = ops.conv_transpose(coarse, widened, strides=2, padding="same")
    return fine + ops.conv(skip, kernel[..., channels:, :], padding="same")


def _widen(kernel):
    """The transposed convolution's kernel: `(4, 4[, 4], filters, channels)`."""
    rank = len(kernel.shape) - 2
    kernel = ops.swapaxes(ops.flip(kernel, axis=tuple(range(rank))), -1, -2)
    padding = [[0, 0], [0, 0]]
    # Each fine voxel that a coarse one becomes adds the kernel where it lies.
    shifted = [
        ops.pad(kernel, [[shift, 1 - shift] for shift in shifts] + padding)
        for shifts in itertools.product((0, 1), repeat=rank)
    ]
    return sum(shifted)
