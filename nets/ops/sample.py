"""Sampling of a volume at displaced voxels: the warp of every registration here."""

import itertools
import math

from keras import ops

from nets.ops.compiled import compiled, compiled_components, with_gradient
from nets.ops.grid import coordinate, spatial_rank

METHODS = ("linear", "nearest")
CHANNELS_A_KERNEL = 8


def sample(volume, displacement, method="linear", fill_value=None):
    """Pull-back of a volume through a displacement.

    Formula: `moved[p] = volume[p + displacement[p]]`, positions clamped at the edge
    (`scipy.ndimage.map_coordinates`, mode "nearest"; VoxelMorph's `SpatialTransformer`).
    Positions and weights are float32 whatever the volume's type.

    Args:
        volume: Tensor `(batch, i, j[, k], channels)` of any numeric type.
        displacement: Tensor `(batch, i', j'[, k'], 2 or 3)`, in voxels of the volume.
        method: "linear", or "nearest" (half to even; no gradient for the displacement).
        fill_value: Value given to positions outside of the volume; None clamps them
            to the edge.

    Returns:
        Tensor `(batch, i', j'[, k'], channels)` of the volume's type; linear sampling of
        integers gives float32.

    Raises:
        ValueError: If the ranks do not match or the method is unknown.
    """
    volume, displacement = ops.convert_to_tensor(volume), ops.cast(displacement, "float32")
    spatial_rank(volume, displacement)
    if method not in METHODS:
        raise ValueError(
            f"Received an invalid value for `method`, expected one of {METHODS}. Received: method={method}"
        )
    if method == "nearest":
        moved = _nearest(volume, ops.stop_gradient(displacement))
    else:
        moved = _linear(volume if "float" in str(volume.dtype) else ops.cast(volume, "float32"), displacement)
    if fill_value is None:
        return moved
    return ops.where(_inside(volume, displacement)[..., None], moved, ops.cast(fill_value, moved.dtype))


def follow(field, displacement):
    """A displacement, and on from where it leads by a second one.

    Formula: `u(p) + field(p + u(p))`: the step of composition and of scaling and squaring,
    in one pass over memory.

    Args:
        field: Tensor `(batch, i, j[, k], 2 or 3)`, in voxels.
        displacement: Tensor `(batch, i', j'[, k'], 2 or 3)`, in voxels of the field.

    Returns:
        Float32 tensor of the displacement's shape.

    Raises:
        ValueError: If the ranks do not match.
    """
    spatial_rank(field, displacement)
    return _follow(ops.cast(field, "float32"), ops.cast(displacement, "float32"))


def sample_at(volume, points):
    """Linear sampling at any points.

    Args:
        volume: Tensor `(batch, i, j[, k], channels)`.
        points: Tensor `(batch, n, 2 or 3)`, in voxels of the volume; clamped at the edge.

    Returns:
        Float32 tensor `(batch, n, channels)`.

    Raises:
        ValueError: If the points do not have one coordinate a spatial axis.
    """
    volume, points = ops.cast(volume, "float32"), ops.cast(points, "float32")
    if len(points.shape) != 3 or points.shape[-1] != len(volume.shape) - 2:
        raise ValueError(
            "Expected points (batch, n, 2 or 3) with one coordinate a spatial axis of the volume. "
            f"Received: points.shape={tuple(points.shape)}, volume.shape={tuple(volume.shape)}"
        )
    return _sample_at(volume, points)


def _last(volume):
    """Last index of each spatial axis."""
    return [ops.cast(size - 1, "float32") for size in ops.shape(volume)[1:-1]]


def _positions(displacement):
    """Unclamped position along each axis."""
    grid = ops.shape(displacement)[1:-1]
    return [displacement[..., axis] + coordinate(grid, axis) for axis in range(len(grid))]


def _inside_axes(volume, displacement):
    return [
        ops.logical_and(position >= 0.0, position <= end)
        for position, end in zip(_positions(displacement), _last(volume), strict=True)
    ]


def _inside(volume, displacement):
    return math.prod(ops.cast(inside, "int32") for inside in _inside_axes(volume, displacement)) > 0


def _strides(volume):
    """Rows of `_rows(volume)` between neighbours along the batch and each spatial axis."""
    sizes = [ops.cast(size, "int32") for size in ops.shape(volume)[1:-1]]
    return [math.prod(sizes[axis:], start=ops.cast(1, "int32")) for axis in range(len(sizes) + 1)]


def _rows(volume):
    return ops.reshape(volume, (-1, volume.shape[-1]))


def _first_rows(volume, position):
    """Row at which each sample of the batch begins."""
    rows = ops.arange(ops.shape(position)[0], dtype="int32") * _strides(volume)[0]
    return ops.reshape(rows, [-1] + [1] * (len(position.shape) - 1))


def _cells(volume, positions):
    """The cell of 4 or 8 voxels about each position.

    Returns:
        Row of the cell's lowest corner, the rows from there to the next corner along each
        axis, and the position within the cell along each axis, in [0, 1].
    """
    corner, steps, fractions = _first_rows(volume, positions[0]), [], []
    for position, end, stride in zip(positions, _last(volume), _strides(volume)[1:], strict=True):
        clamped = ops.clip(position, 0.0, end)
        # The last cell is closed on both sides; an axis of one voxel has a cell without extent.
        lower = ops.minimum(ops.floor(clamped), ops.maximum(end - 1.0, 0.0))
        corner = corner + ops.cast(lower, "int32") * stride
        steps.append(ops.cast(ops.minimum(end, 1.0), "int32") * stride)
        fractions.append(clamped - lower)
    return corner, steps, fractions


def _mix(low, high, fraction):
    return low * (1.0 - fraction) + high * fraction


def _interpolate(corners, fractions):
    """Linear interpolation within a cell, one axis at a time.

    Args:
        corners: Dict from a tuple of 0 and 1, one an axis, to the corner's values.
        fractions: Position along each axis.
    """
    while fractions:
        *fractions, fraction = fractions
        keys = sorted({key[:-1] for key in corners})
        corners = {key: _mix(corners[*key, 0], corners[*key, 1], fraction) for key in keys}
    return corners[()]


def _corner_rows(corner, steps):
    for key in itertools.product((0, 1), repeat=len(steps)):
        yield key, corner + sum(side * step for side, step in zip(key, steps, strict=True))


def _linear_forward(volume, displacement):
    return linear_at(volume, _positions(displacement))


def linear_at(volume, positions):
    """Linear interpolation, to be compiled as part of a larger kernel; see `sample`.

    Args:
        volume: Tensor `(batch, i, j[, k], channels)`.
        positions: List of tensors `(batch, ...)`, one per spatial axis, in voxels; clamped at the edge.

    Returns:
        Tensor `(batch, ..., channels)` of the volume's type.
    """
    rows = _rows(volume)
    corner, steps, fractions = _cells(volume, positions)
    corners = {key: ops.cast(ops.take(rows, row, axis=0), "float32") for key, row in _corner_rows(corner, steps)}
    return ops.cast(_interpolate(corners, [fraction[..., None] for fraction in fractions]), volume.dtype)


def _slopes(volume, displacement, upstream):
    """Gradient for the displacement: a list, one tensor an axis."""
    channels = volume.shape[-1]
    values = ops.reshape(volume, (-1,))
    corner, steps, fractions = _cells(volume, _positions(displacement))
    gradient = [0.0] * len(steps)
    # Written out channel by channel: a reduction would break the one loop that XLA makes of this.
    for channel in range(channels):
        corners = {
            key: ops.cast(ops.take(values, row * channels + channel), "float32")
            for key, row in _corner_rows(corner, steps)
        }
        share = ops.cast(upstream[..., channel], "float32")
        slopes = _interpolated_slopes(corners, fractions)
        gradient = [total + share * slope for total, slope in zip(gradient, slopes, strict=True)]
    inside = _inside_axes(volume, displacement)
    return [ops.where(within, slope, 0.0) for within, slope in zip(inside, gradient, strict=True)]


def _interpolated_slopes(corners, fractions):
    """Derivatives of `_interpolate(corners, fractions)`, one an axis."""
    slopes = {key: [] for key in corners}
    while fractions:
        *fractions, fraction = fractions
        keys = sorted({key[:-1] for key in corners})
        slopes = {
            key: [
                corners[*key, 1] - corners[*key, 0],
                *(_mix(low, high, fraction) for low, high in zip(slopes[*key, 0], slopes[*key, 1], strict=True)),
            ]
            for key in keys
        }
        corners = {key: _mix(corners[*key, 0], corners[*key, 1], fraction) for key in keys}
    return slopes[()]


_slopes_compiled = {rank: compiled_components(_slopes, rank) for rank in (2, 3)}


def _gradient_for_displacement(volume, displacement, upstream):
    kernel = _slopes_compiled[displacement.shape[-1]]
    groups = range(0, volume.shape[-1], CHANNELS_A_KERNEL)
    parts = [slice(first, first + CHANNELS_A_KERNEL) for first in groups]
    return sum(kernel(volume[..., part], displacement, upstream[..., part]) for part in parts)


def _spread(volume, displacement, upstream):
    """What each position adds, and to which row, in the gradient for the volume."""
    upstream = ops.cast(upstream, "float32")
    corner, steps, fractions = _cells(volume, _positions(displacement))
    rows, added = [], []
    for key, row in _corner_rows(corner, steps):
        rows.append(row)
        weights = [fraction if side else 1.0 - fraction for side, fraction in zip(key, fractions, strict=True)]
        added.append(math.prod(weights)[..., None] * upstream)
    return ops.reshape(ops.stack(rows), (-1,)), ops.reshape(ops.stack(added), (-1, upstream.shape[-1]))


_spread_compiled = compiled(_spread)


def _gradient_for_volume(volume, displacement, upstream):
    # XLA's scatter is sequential; TensorFlow's own segment sum is 4 times faster.
    rows, added = _spread_compiled(volume, displacement, upstream)
    shape = ops.shape(volume)
    return ops.cast(ops.reshape(ops.segment_sum(added, rows, math.prod(shape[:-1])), shape), volume.dtype)


_linear = with_gradient(compiled(_linear_forward), (_gradient_for_volume, _gradient_for_displacement))


def _follow_forward(volume, displacement):
    return displacement + _linear_forward(volume, displacement)


def _follow_gradient(volume, displacement, upstream):
    return upstream + _gradient_for_displacement(volume, displacement, upstream)


_follow = with_gradient(compiled(_follow_forward), (_gradient_for_volume, _follow_gradient))


def _nearest_forward(volume, displacement):
    positions = _positions(displacement)
    row = _first_rows(volume, positions[0])
    for position, end, stride in zip(positions, _last(volume), _strides(volume)[1:], strict=True):
        row = row + ops.cast(ops.clip(ops.round(position), 0.0, end), "int32") * stride
    return ops.take(_rows(volume), row, axis=0)


_nearest = compiled(_nearest_forward)


_sample_at = compiled(lambda volume, points: linear_at(volume, [points[..., axis] for axis in range(points.shape[-1])]))
