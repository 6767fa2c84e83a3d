"""Affine transforms: matrices `(batch, n, n + 1)`, `[A | t]`, in voxels about the grid's centre."""

import math

from keras import ops

from nets.ops.grid import coordinate


def affine_to_displacement(matrix, shape):
    """Displacement of an affine transform about the grid's centre.

    Formula: `u(p) = A (p - c) + t - (p - c)`, `c = (shape - 1) / 2`.

    Args:
        matrix: Tensor `(batch, n, n + 1)`, `[A | t]`, in voxels, n = 2 or 3.
        shape: Spatial shape of the grid: n integers or, at unknown sizes, scalar tensors.

    Returns:
        Float32 tensor `(batch, *shape, n)`, in voxels.

    Raises:
        ValueError: If matrix and shape do not fit each other.
    """
    matrix = ops.cast(matrix, "float32")
    rank = _rank(matrix)
    if len(shape) != rank:
        raise ValueError(
            "Expected a matrix (batch, n, n + 1) for a grid of n axes, n = 2 or 3. "
            f"Received: matrix.shape={tuple(matrix.shape)}, shape={tuple(shape)}"
        )
    centred = [coordinate(shape, axis) - (ops.cast(shape[axis], "float32") - 1.0) / 2.0 for axis in range(rank)]
    # A - I times the position: the identity gives exactly 0.
    slope = matrix[:, :, :rank] - ops.eye(rank)

    def entry(values):
        return ops.reshape(values, [-1] + [1] * rank)

    components = [
        sum(entry(slope[:, row, axis]) * centred[axis] for axis in range(rank)) + entry(matrix[:, row, rank])
        for row in range(rank)
    ]
    return ops.stack(components, axis=-1)


def invert_affine(matrix):
    """Inverse of an affine transform.

    Formula: `[A | t] -> [A^-1 | -A^-1 t]`.

    Args:
        matrix: Tensor `(batch, n, n + 1)`, n = 2 or 3.

    Returns:
        Float32 tensor `(batch, n, n + 1)`. A singular matrix gives infinities or an error,
        as the backend does.

    Raises:
        ValueError: If it is no such matrix.
    """
    matrix = ops.cast(matrix, "float32")
    rank = _rank(matrix)
    inverse = ops.inv(matrix[:, :, :rank])
    return ops.concatenate([inverse, -ops.matmul(inverse, matrix[:, :, rank:])], axis=-1)


def compose_affine(first, second):
    """One affine transform that does to an image what two do one after the other.

    Formula: `[A1 A2 | A1 t2 + t1]`.

    Args:
        first: Tensor `(batch, n, n + 1)`: the one that is applied to the image first.
        second: Tensor of the same shape.

    Returns:
        Float32 tensor `(batch, n, n + 1)`.

    Raises:
        ValueError: If one is no such matrix.
    """
    first, second = ops.cast(first, "float32"), ops.cast(second, "float32")
    rank = _rank(first)
    product = ops.matmul(first[:, :, :rank], second)
    return ops.concatenate([product[:, :, :rank], product[:, :, rank:] + first[:, :, rank:]], axis=-1)


def parameters_to_affine(parameters, rank=3):
    """Affine matrix from translations, rotations, scales and shears.

    Formula: `A = R S E`: `R = Rx Ry Rz` by angles in degrees, `S` the diagonal of the scales,
    `E` the upper triangle of the shears (VoxelMorph's `ParamsToAffineMatrix`). A point is sheared,
    scaled, then turned about the third axis, the second and the first.

    The thesis (Bertrand, 2019, eq. 4.8) has `Rz Ry Rx S`, and its `Ry` turns the other way: the same
    three angles give another rotation there.

    Args:
        parameters: Tensor `(batch, m)` in this order: in 3D 3 translations (voxels), 3
            angles (degrees), 3 scales (1 keeps the size), 3 shears; in 2D 2, 1, 2 and 1.
            The last ones may be left out (m = 3, 6, 9 or 12; 2, 3, 5 or 6) and are those of
            the identity.
        rank: 2 or 3.

    Returns:
        Float32 tensor `(batch, rank, rank + 1)`.

    Raises:
        ValueError: If their number fits no prefix of the list.
    """
    angles = 1 if rank == 2 else 3
    ends = [rank, rank + angles, 2 * rank + angles, 2 * rank + 2 * angles]
    if rank not in (2, 3) or len(parameters.shape) != 2 or parameters.shape[-1] not in ends:
        raise ValueError(
            f"Expected parameters (batch, m), m one of {ends}, and rank 2 or 3. "
            f"Received: parameters.shape={tuple(parameters.shape)}, rank={rank}"
        )
    parameters = ops.cast(parameters, "float32")
    identity = [0.0] * (rank + angles) + [1.0] * rank + [0.0] * angles
    ones = ops.ones_like(parameters[:, 0])
    values = [
        parameters[:, place] if place < parameters.shape[-1] else default * ones
        for place, default in enumerate(identity)
    ]
    translation, turns, scales, shears = (values[a:b] for a, b in zip([0, *ends], ends, strict=False))
    rotation = _rotation([angle * (math.pi / 180.0) for angle in turns], ones)
    triangle = [[ones if row == column else 0.0 * ones for column in range(rank)] for row in range(rank)]
    above = [(row, column) for row in range(rank) for column in range(row + 1, rank)]
    for (row, column), shear in zip(above, shears, strict=True):
        triangle[row][column] = shear
    scaled = [[scales[row] * value for value in triangle[row]] for row in range(rank)]
    linear = ops.matmul(rotation, _matrix(scaled))
    return ops.concatenate([linear, ops.stack(translation, axis=-1)[..., None]], axis=-1)


def _rotation(angles, ones):
    cosines, sines = [ops.cos(angle) for angle in angles], [ops.sin(angle) for angle in angles]
    zero = 0.0 * ones
    if len(angles) == 1:
        return _matrix([[cosines[0], -sines[0]], [sines[0], cosines[0]]])
    x = _matrix([[ones, zero, zero], [zero, cosines[0], -sines[0]], [zero, sines[0], cosines[0]]])
    y = _matrix([[cosines[1], zero, sines[1]], [zero, ones, zero], [-sines[1], zero, cosines[1]]])
    z = _matrix([[cosines[2], -sines[2], zero], [sines[2], cosines[2], zero], [zero, zero, ones]])
    return ops.matmul(x, ops.matmul(y, z))


def _matrix(rows):
    return ops.stack([ops.stack(row, axis=-1) for row in rows], axis=-2)


def is_affine(transform):
    """Whether a transform's shape is that of a matrix `(batch, n, n + 1)`."""
    shape = tuple(transform.shape)
    return len(shape) == 3 and shape[1:] in ((2, 3), (3, 4))


def _rank(matrix):
    if not is_affine(matrix):
        raise ValueError(
            f"Expected a matrix (batch, n, n + 1), n = 2 or 3. Received: matrix.shape={tuple(matrix.shape)}"
        )
    return matrix.shape[1]
