"""Topology and signed distances of masks."""

import numpy as np
import pytest

from segmentation.signed_distance import signed_distance
from segmentation.template import (
    labelled,
)
from segmentation.topology import topology
from tests.segmentation.shapes import ellipsoid, grid


def torus():
    places = grid(20)
    return (np.hypot(places[..., 0], places[..., 1]) - 6) ** 2 + places[..., 2] ** 2 < 6


def two_corners():
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (ellipsoid(16, (5, 5, 5)), (1, 0, 0)),
        (torus(), (1, 1, 0)),
        (ellipsoid(20, (8, 8, 8)) & ~ellipsoid(20, (3, 3, 3)), (1, 0, 1)),
        (ellipsoid(24, (3, 3, 3), centre=(6, 0, 0)) | ellipsoid(24, (3, 3, 3), centre=(-6, 0, 0)), (2, 0, 0)),
        (two_corners(), (1, 0, 0)),
        (np.zeros((5, 5, 5), bool), (0, 0, 0)),
        (np.ones((5, 5, 5), bool), (1, 0, 0)),
    ],
    ids=["ball", "torus", "hollow", "two balls", "corners touch", "empty", "full"],
)
def test_topology_of_known_shapes(mask, expected):
    """Every guarantee rests on these three numbers."""
    found = topology(mask)
    assert (found.components, found.tunnels, found.cavities) == expected
    assert found.euler == expected[0] - expected[1] + expected[2]


def test_topology_refuses_other_ranks():
    """A batch or a channel taken for an axis would be counted as a shape."""
    with pytest.raises(ValueError, match="three|i, j, k"):
        topology(np.zeros((1, 4, 4, 4), bool))


def test_signed_distance_of_a_ball():
    """A distance that is off by half a voxel moves every mask's surface."""
    radius = 8.0
    found = signed_distance(ellipsoid(28, (radius,) * 3))
    true = radius - np.linalg.norm(grid(28), axis=-1)
    near = np.abs(true) < 4
    assert np.abs(found - true)[near].max() < 0.6
    assert abs(np.mean((found - true)[near])) < 0.1
    for empty in (np.zeros((4, 4, 4)), np.ones((4, 4, 4))):
        with pytest.raises(ValueError, match="inside and an outside"):
            signed_distance(empty)


def test_labels_from_distances():
    """Where two structures meet the deeper one counts; outside of all is 0."""
    distances = np.array([[-1.0, -2.0], [0.5, 0.2], [0.5, 0.7], [-0.1, 0.3]])
    assert labelled(distances, (3, 9)).tolist() == [0, 3, 9, 9]
