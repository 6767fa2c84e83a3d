"""Shapes with known properties."""

import numpy as np


def grid(size):
    """Voxel places about the grid's centre, `(size, size, size, 3)`."""
    axes = [np.arange(size) - (size - 1) / 2] * 3
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def ellipsoid(size, radii, rotation=None, centre=(0, 0, 0)):
    """Mask of an ellipsoid: its axes are the columns of the rotation."""
    rotation = np.eye(3) if rotation is None else rotation
    own = (grid(size) - np.array(centre)) @ rotation
    return np.sum((own / np.array(radii)) ** 2, axis=-1) < 1


def pear(size, scale=1.0, rotation=None, centre=(0, 0, 0)):
    """Mask without any symmetry: three balls of different sizes that overlap."""
    rotation = np.eye(3) if rotation is None else rotation
    own = (grid(size) - np.array(centre)) @ rotation / scale
    balls = (((0, 0, 0), 5.0), ((5.5, 1.0, 0), 3.5), ((-1, 4.5, 1.5), 3.0))
    return np.any([np.sum((own - np.array(middle)) ** 2, axis=-1) < radius**2 for middle, radius in balls], axis=0)


def dice(a, b):
    """Overlap of two masks."""
    return 2 * np.sum(a & b) / (np.sum(a) + np.sum(b))
