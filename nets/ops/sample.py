"""Sampling of a volume at displaced voxels: the warp of every registration here."""

import itertools
import math

import keras
from keras import ops

from nets.ops.compiled import compiled, with_gradient
from nets.ops.grid import coordinate, spatial_rank

METHODS = ("linear", "nearest")


def sample(volume, displacement, method="linear", fill_value=None):
    """Pull-back of a volume through a displacement.

    Formula: `moved[p] = volume[p + displacement[p]]`, positions clamped at the edge
    (`scipy.ndimage.map_coordinates`, mode "nearest"; VoxelMorph's `SpatialTransformer`).

    Args:
        volume: Tensor `(batch, i, j[, k], channels)`.
        displacement: Tensor `(batch, i', j'[, k'], 2 or 3)`, in voxels of the volume.
        method: "linear", or "nearest" (half to even; no gradient for the displacement).
        fill_value: Value given to positions outside of the volume; None clamps them
            to the edge.

    Returns:
        Float32 tensor `(batch, i', j'[, k'], channels)`.

    Raises:
        ValueError: If the ranks do not match or the method is unknown.
    """
    spatial_rank(volume, displacement)
    if method not in METHODS:
        raise ValueError(
            f"Received an invalid value for `method`, expected one of {METHODS}. Received: method={method}"
        )
    volume = ops.cast(volume, "float32")
    displacement = ops.cast(displacement, "float32")
    moved = _linear(volume, displacement) if method == "linear" else _nearest(volume, displacement)
    if fill_value is None:
        return moved
    inside = ops.cast(_inside(volume, displacement), "float32")[..., None]
    return moved * inside + fill_value * (1.0 - inside)


def _positions(volume, displacement):
    """Unclamped positions along each axis, and the last index of each axis of the volume."""
    grid = ops.shape(displacement)[1:-1]
    last = [ops.cast(size - 1, "float32") for size in ops.shape(volume)[1:-1]]
    return [displacement[..., axis] + coordinate(grid, axis) for axis in range(len(grid))], last


def _inside(volume, displacement):
    inside = True
    for position, end in zip(*_positions(volume, displacement), strict=True):
        inside = ops.logical_and(inside, ops.logical_and(position >= 0.0, position <= end))
    return inside


def _flat_index(volume, indices):
    """Row of `reshape(volume, (-1, channels))` that holds each voxel."""
    shape = ops.shape(volume)
    row = ops.reshape(ops.arange(shape[0], dtype="int32"), [-1] + [1] * (len(shape) - 2))
    for size, index in zip(shape[1:-1], indices, strict=True):
        row = row * ops.cast(size, "int32") + index
    return row


def _corners(volume, displacement):
    """The 4 or 8 voxels about each position.

    Yields the flat row of each corner and, an axis, its weight and the weight's slope
    with respect to the position (+1 for the upper corner, -1 for the lower, and 0 where
    the position was clamped).
    """
    lower, upper, fraction, slope = [], [], [], []
    for position, end in zip(*_positions(volume, displacement), strict=True):
        clamped = ops.clip(position, 0.0, end)
        floor = ops.floor(clamped)
        lower.append(ops.cast(floor, "int32"))
        upper.append(ops.cast(ops.minimum(floor + 1.0, end), "int32"))
        fraction.append(clamped - floor)
        slope.append(ops.cast(ops.logical_and(position >= 0.0, position <= end), "float32"))
    for corner in itertools.product((0, 1), repeat=len(lower)):
        row = _flat_index(volume, [(lower, upper)[side][axis] for axis, side in enumerate(corner)])
        weights = [fraction[axis] if side else 1.0 - fraction[axis] for axis, side in enumerate(corner)]
        slopes = [slope[axis] if side else -slope[axis] for axis, side in enumerate(corner)]
        yield row, weights, slopes


def _rows(volume):
    return ops.reshape(volume, (-1, volume.shape[-1]))


def _linear_forward(volume, displacement):
    rows = _rows(volume)
    return sum(
        math.prod(weights)[..., None] * ops.take(rows, row, axis=0)
        for row, weights, _ in _corners(volume, displacement)
    )


def _gradient_for_displacement(volume, displacement, upstream):
    rows = _rows(volume)
    gradient = [0.0] * displacement.shape[-1]
    for row, weights, slopes in _corners(volume, displacement):
        value = ops.sum(upstream * ops.take(rows, row, axis=0), axis=-1)
        for axis, slope in enumerate(slopes):
            others = math.prod(weight for other, weight in enumerate(weights) if other != axis)
            gradient[axis] = gradient[axis] + slope * others * value
    return ops.stack(gradient, axis=-1)


def _spread(volume, displacement, upstream):
    """What each position adds, and to which row, in the gradient for the volume."""
    corners = list(_corners(volume, displacement))
    rows = ops.stack([row for row, _, _ in corners])
    added = ops.stack([math.prod(weights)[..., None] * upstream for _, weights, _ in corners])
    return ops.reshape(rows, (-1,)), ops.reshape(added, (-1, upstream.shape[-1]))


_spread_compiled = compiled(_spread)


def _gradient_for_volume(volume, displacement, upstream):
    # XLA's scatter is sequential; TensorFlow's own segment sum is 4 times faster.
    rows, added = _spread_compiled(volume, displacement, upstream)
    shape = ops.shape(volume)
    return ops.reshape(ops.segment_sum(added, rows, math.prod(shape[:-1])), shape)


_linear = with_gradient(compiled(_linear_forward), (_gradient_for_volume, compiled(_gradient_for_displacement)))


def _nearest_forward(volume, displacement):
    indices = [
        ops.cast(ops.clip(ops.round(position), 0.0, end), "int32")
        for position, end in zip(*_positions(volume, displacement), strict=True)
    ]
    return ops.take(_rows(volume), _flat_index(volume, indices), axis=0)


_nearest_compiled = compiled(_nearest_forward)


def _nearest(volume, displacement):
    return _nearest_compiled(volume, keras.ops.stop_gradient(displacement))
