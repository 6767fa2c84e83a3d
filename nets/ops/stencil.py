"""Filters and differences along the spatial axes, as sums of shifted copies.

Fields are `(batch, components, i, j[, k])` here: a component is one contiguous block, which XLA filters twice as fast
as vectors that lie side by side. A few taps per axis cost a third of a product with a dense matrix.
"""

import math

from keras import ops


def gaussian_taps(sigma):
    """Weights of a Gaussian, cut off at three standard deviations.

    Args:
        sigma: Standard deviation in voxels, above 0.

    Returns:
        Tuple of floats of odd length, their sum 1.
    """
    radius = max(1, math.ceil(3.0 * sigma))
    weights = [math.exp(-0.5 * (place / sigma) ** 2) for place in range(-radius, radius + 1)]
    return tuple(weight / sum(weights) for weight in weights)


def box_taps(radius):
    """Weights of a mean over `2 radius + 1` voxels."""
    return (1.0 / (2 * radius + 1),) * (2 * radius + 1)


def smooth(x, taps):
    """Filter along every spatial axis; at the border by those taps that lie inside, their sum kept at 1.

    Args:
        x: Tensor `(batch, components, i, j[, k])`.
        taps: Sequence of floats of odd length, symmetric, their sum 1.

    Returns:
        Tensor of the same shape.
    """
    for axis in range(2, len(x.shape)):
        x = _filter(x, taps, axis) / _filter(_ones_along(x, axis), taps, axis)
    return x


def forward(x, axis):
    """Difference to the next voxel along an axis, 0 at the last."""
    return ops.pad(_difference(x, axis), _padding(x, axis, (0, 1)))


def backward(x, axis):
    """Difference from the previous voxel along an axis, 0 at the first."""
    return ops.pad(_difference(x, axis), _padding(x, axis, (1, 0)))


def shifted(x, axis, by):
    """The values `by` voxels further on along an axis, the border's own beyond it.

    Args:
        x: Tensor.
        axis: Which of all axes.
        by: Integer, shorter than the axis.
    """
    size = x.shape[axis]
    places = [min(max(place + by, 0), size - 1) for place in range(size)]
    return ops.take(x, places, axis=axis)


def central(x, axis):
    """Mean of `forward` and `backward`."""
    return 0.5 * (forward(x, axis) + backward(x, axis))


def _filter(x, taps, axis):
    radius, size = len(taps) // 2, ops.shape(x)[axis]
    padded = ops.pad(x, _padding(x, axis, (radius, radius)))

    def part(by):
        return padded[(slice(None),) * axis + (slice(by, by + size),)]

    total = taps[radius] * part(radius)
    for away in range(1, radius + 1):
        total = total + taps[radius - away] * (part(radius - away) + part(radius + away))
    return total


def _ones_along(x, axis):
    return ops.ones_like(x[tuple(slice(None) if number == axis else slice(0, 1) for number in range(len(x.shape)))])


def _difference(x, axis):
    before = (slice(None),) * axis
    return x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]


def _padding(x, axis, width):
    return [width if number == axis else (0, 0) for number in range(len(x.shape))]
