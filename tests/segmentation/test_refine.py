"""Refinement of a deformed template at test time, with points and without."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, zoom

from nets.ops.folding import folding_voxels
from nets.ops.jacobian import jacobian_determinant
from segmentation.deform import deform
from segmentation.refine import MARGIN, Refinement, on_side
from segmentation.template import subject_template
from segmentation.topology import Topology, topology
from tests.segmentation.deform_cases import BALL, SIZE, network, numpy
from tests.segmentation.shapes import dice, ellipsoid


def test_points_are_obeyed_and_evidence_is_approached(images):
    """A user's point that is overruled, or a refinement away from what the network sees, is of no use."""
    model = network()
    found = {name: numpy(item) for name, item in model({"image": images[:1]}).items()}
    seen = ellipsoid(SIZE, (4, 5, 4), centre=(1, 0.5, -0.5))
    found["evidence"] = np.where(seen, 6.0, -6.0)[None, ..., None].astype("float32")
    refinement = Refinement(model)
    plain = refinement(found, BALL[None], steps=60)
    moved, _, _ = deform(BALL[None], plain.parameters, plain.velocity)
    assert dice(numpy(moved)[0, ..., 0] > 0, seen) > dice(BALL[..., 0] > 0, seen) + 0.1
    centre = (SIZE - 1) / 2
    points = np.array([[5.5, 0.5, 0.0], [0.0, 6.0, 0.0], [-3.5, 0.0, 0.0], [0.0, 0.0, 2.5]]) + centre
    signs = np.array([[1.0], [1.0], [-1.0], [-1.0]], "float32")
    refined = refinement(found, BALL[None], points.astype("float32"), signs, steps=10)
    assert not refined.unmet.any()
    moved, total, _ = deform(BALL[None], refined.parameters, refined.velocity)
    moves = [map_coordinates(part, points.T, order=1) for part in np.moveaxis(numpy(total)[0], -1, 0)]
    at = map_coordinates(BALL[..., 0], (points + np.stack(moves, axis=-1)).T, order=1, mode="nearest")
    assert np.all(at * signs[:, 0] > 0)
    assert np.abs(at).max() < 1  # the shape gives way no more than it must
    assert numpy(jacobian_determinant(total)).min() > 0
    assert folding_voxels(numpy(total)[0]) == 0
    assert topology(numpy(moved)[0, ..., 0] > 0) == Topology(1, 0, 0)
    assert MARGIN < 1


def test_refinement_keeps_the_size_of_what_is_thin():
    """The soft edge of a thin shape has more volume than the shape: hippocampi were refined a seventh too small."""
    thin = ellipsoid(SIZE, (2.4, 2.4, 6.5))
    template = subject_template([thin[..., None]], 1.0, (1,))[0].distances
    found = {name: numpy(item) for name, item in network()({"image": np.zeros((1, *[SIZE] * 3, 1), "float32")}).items()}
    found["evidence"] = np.where(thin, 20.0, -20.0).astype("float32")[None, ..., None]
    refined = Refinement(network())(found, template, steps=60)
    moved = numpy(deform(template, refined.parameters, refined.velocity)[0])[0, ..., 0]
    volume = np.mean(zoom(moved, 3, order=1, grid_mode=True, mode="nearest") > 0) * SIZE**3
    assert volume == pytest.approx(thin.sum(), rel=0.12)


def test_what_is_not_seen_does_not_shrink_the_template():
    """Where the network sees nothing the template is all that is known; refined it had a quarter of its size."""
    model = network()
    found = {name: numpy(item) for name, item in model({"image": np.zeros((1, *[SIZE] * 3, 1), "float32")}).items()}
    found["evidence"] = np.full((1, *[SIZE] * 3, 1), -10, "float32")
    refined = Refinement(model)(found, BALL[None], steps=40)
    moved = numpy(deform(BALL[None], refined.parameters, refined.velocity)[0])
    assert np.sum(moved > 0) == pytest.approx(np.sum(BALL > 0), rel=0.02)


def test_a_point_insists():
    """A click into what the network is sure of must be obeyed all the same: the user knows better."""
    model = network()
    found = {name: numpy(item) for name, item in model({"image": np.zeros((1, *[SIZE] * 3, 1), "float32")}).items()}
    found["evidence"] = np.where(BALL[None] > 0, 20.0, -20.0).astype("float32")
    point = np.array([[0, 0, 0.5]], "float32") + (SIZE - 1) / 2  # 2.5 voxels deep
    refined = Refinement(model)(found, BALL[None], point, np.array([[-1.0]], "float32"), steps=0)
    assert not refined.unmet.any()
    assert refined.steps <= 80  # a weight that does not grow takes 120


def test_the_side_of_a_point():
    """Where two structures overlap a point would count as inside of both, or as outside of all on their face."""
    distances = np.array([[0.2, 0.1], [0.2, 0.1], [0.2, 0.1], [-0.3, 1.0]], "float32")
    signs = np.array([[1, 0], [0, 1], [-1, -1], [-1, 1]], "float32")
    assert numpy(on_side(distances, signs)) == pytest.approx(
        np.array([[0.05, -0.1], [-0.2, -0.05], [-0.2, -0.1], [0.3, 0.65]])
    )
    assert numpy(on_side(distances[:, :1], signs[:, :1])).ravel() == pytest.approx([0.2, -0.2, -0.2, 0.3])
