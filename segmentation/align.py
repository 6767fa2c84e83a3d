"""Shapes brought on top of each other by similarities."""

import itertools

import numpy as np
from scipy.ndimage import affine_transform
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

NEAR = 3.0  # voxels from the surface within which distances count
# Ways to lay three axes on three: permutations with signs, of determinant 1.
WAYS = np.array(
    [
        way
        for order in itertools.permutations(np.eye(3))
        for signs in itertools.product((1, -1), repeat=3)
        if np.linalg.det(way := np.diag(signs) @ order) > 0
    ],
    "float32",
)


def moments(mask):
    """Centre and covariance of a mask.

    Args:
        mask: `(i, j, k)`, bool or weights.

    Returns:
        `(3,)` in voxels about the grid's centre, and `(3, 3)` in voxels squared.
    """
    places = np.argwhere(np.asarray(mask) > 0).astype(float)
    weights = np.asarray(mask, float)[tuple(places.astype(int).T)]
    places -= (np.array(np.shape(mask)) - 1) / 2
    centre = np.average(places, axis=0, weights=weights)
    return centre, np.cov(places.T, aweights=weights, bias=True)


def principal_axes(covariance):
    """Right-handed principal axes, the longest first, each turned to the side on which its largest part is positive.

    Args:
        covariance: `(3, 3)`.

    Returns:
        `(3, 3)`, axes in its columns.
    """
    axes = np.linalg.eigh(covariance)[1][:, ::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return axes


def similarity(distance, onto):
    """The similarity that brings one shape on top of another.

    From each of the four ways in which principal axes can be laid on each other (the same axes, turned by half a turn
    about one) the best is taken and improved: the mean square of the difference of distances, cut near the surface.

    Args:
        distance: Signed distance `(i, j, k)` of the shape to be moved, in voxels.
        onto: Of the other, on the same grid.

    Returns:
        `(4, 4)` from voxel of `onto` to voxel of `distance`, and the root of the mean square that is left.

    Reference:
        - Gower, Generalized Procrustes analysis, 1975; Bertrand, thesis, 2019, section 4.2.1 (mean template).
    """
    (centre, covariance), (middle, wanted) = moments(distance > 0), moments(onto > 0)
    scale = (np.sum(distance > 0) / np.sum(onto > 0)) ** (1 / 3)
    axes, other = principal_axes(covariance), principal_axes(wanted)
    near = np.clip(onto, -NEAR, NEAR)
    band = np.abs(onto) < NEAR

    def left(parameters):
        moved = resampled(distance, _matrix(parameters, middle, distance.shape)) / np.exp(parameters[6])
        return float(np.mean((np.clip(moved, -NEAR, NEAR) - near)[band] ** 2))

    starts = []
    for turn in (np.diag(signs) for signs in ([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1])):
        rotation = Rotation.from_matrix(axes @ turn @ other.T).as_rotvec()
        starts.append(np.concatenate([centre, rotation, [np.log(scale)]]))
    best = min(starts, key=left)
    found = minimize(left, best, method="Powell", options={"maxiter": 4, "xtol": 0.01, "ftol": 1e-4})
    return _matrix(found.x, middle, distance.shape), float(np.sqrt(found.fun))


def resampled(array, matrix):
    """An array at the places to which a matrix leads.

    Args:
        array: `(i, j, k)`.
        matrix: `(4, 4)` from voxel of the result to voxel of the array; beyond it the edge goes on.

    Returns:
        Array of the same shape.
    """
    return affine_transform(array, matrix[:3, :3], matrix[:3, 3], order=1, mode="nearest")


def _matrix(parameters, middle, shape):
    """About the centre of the shape that is moved onto: `x = s R (y - middle) + centre`."""
    half = (np.array(shape) - 1) / 2
    matrix = np.eye(4)
    matrix[:3, :3] = np.exp(parameters[6]) * Rotation.from_rotvec(parameters[3:6]).as_matrix()
    matrix[:3, 3] = parameters[:3] + half - matrix[:3, :3] @ (middle + half)
    return matrix
