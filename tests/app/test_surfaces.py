"""Surfaces of masks as files."""

import nibabel
import numpy as np
import pytest

from app.systems.template.surfaces import surface, write_gifti, write_stl
from segmentation.signed_distance import signed_distance
from tests.segmentation.shapes import ellipsoid


def test_surfaces_of_a_ball(tmp_path):
    """A surface in voxels, mirrored or inside out is of no use to a printer."""
    affine = np.array([[0, -2.0, 0, 5], [2.0, 0, 0, -3], [0, 0, -2.0, 1], [0, 0, 0, 1]])
    distances = signed_distance(ellipsoid(24, (7, 7, 7)))
    vertices, faces = surface(distances, affine)
    centre = (affine @ [11.5, 11.5, 11.5, 1])[:3]
    assert np.linalg.norm(vertices - centre, axis=1) == pytest.approx(14.0, abs=0.8)
    corners = vertices[faces] - centre
    volume = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.06), "outwards, else it is negative"
    write_gifti(tmp_path / "a.surf.gii", vertices, faces)
    points, triangles = nibabel.load(tmp_path / "a.surf.gii").agg_data()
    assert np.allclose(points, vertices)
    assert np.array_equal(triangles, faces)
    write_stl(tmp_path / "a.stl", vertices, faces)
    assert (tmp_path / "a.stl").stat().st_size == 84 + 50 * len(faces)
