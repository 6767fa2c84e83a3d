"""Velocities and splines in place of displacements, and the same field on every backend."""

import numpy as np
import pytest
from scipy.interpolate import BSpline

from nets.ops import integrate_velocity, sample
from nets.ops.folding import folding_voxels
from nets.registration.engine.deformable import register_pairs, velocities_of_pairs
from nets.registration.engine.method import Level, Method
from nets.registration.engine.transforms import STEPS, spline_weights
from tests.nets.test_engine import LEVELS, pair, texture
from tests.nets.test_ops import numpy

# Of TensorFlow, compiled: the field at three voxels.
EXPECTED = {
    "ncc": [[0.23339, -0.13739, 0.15937], [0.49538, -0.16837, 0.11791], [0.01668, -0.26457, 0.09853]],
    "mse": [[0.26430, -0.14439, 0.10716], [0.44357, -0.16573, 0.10497], [0.05779, -0.20450, 0.05466]],
    "mind": [[0.21740, -0.12032, 0.18857], [0.48903, -0.33166, 0.27078], [0.10988, -0.09286, 0.25467]],
}


@pytest.mark.parametrize("similarity", list(EXPECTED))
@pytest.mark.parametrize("repeated", [True, False])
def test_every_backend_gives_this_field(similarity, repeated):
    """To a thousandth of a voxel; a backend that rounds or samples otherwise is another algorithm."""
    moving, fixed, _ = pair(np.random.default_rng(0), (20, 22, 18))
    method = Method((Level(2, 8), Level(1, 6)), similarity, repeated=repeated)
    field = numpy(register_pairs(moving, fixed, method))[0]
    np.testing.assert_allclose(field[[5, 10, 14], [6, 11, 15], [4, 9, 12]], EXPECTED[similarity], atol=1e-3)


def test_weights_are_those_of_b_splines():
    """SciPy's basis, and a constant stays one, at the ends too."""
    weights = spline_weights(17, 3.5)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
    knots = 3.5 * (np.arange(weights.shape[1] + 4) - 3.0)
    for place in range(weights.shape[1]):
        expected = BSpline.basis_element(knots[place : place + 5], extrapolate=False)(np.arange(17.0))
        np.testing.assert_allclose(weights[:, place], np.nan_to_num(expected), atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 36, 30), (48, 40)])
@pytest.mark.parametrize("transform", ["velocity", "splines"])
def test_a_known_field_is_recovered(rng, shape, transform):
    """In 2D as in 3D, most of what had to be found."""
    moving, fixed, truth = pair(rng, shape)
    field = numpy(register_pairs(moving, fixed, Method(LEVELS, transform=transform)))[0]
    inner = (slice(4, -4),) * len(shape)
    error = np.linalg.norm(field - truth, axis=-1)[inner].mean()
    assert error < 0.35 * np.linalg.norm(truth, axis=-1)[inner].mean()


def test_a_velocity_has_its_inverse(rng):
    """There and back by it and its negative ends within a hundredth of a voxel; the field is its integral."""
    moving, fixed, _ = pair(rng, (32, 36, 30), 3.0)
    method = Method(LEVELS, transform="velocity")
    velocity = velocities_of_pairs(moving, fixed, method)
    there, back = (numpy(integrate_velocity(sign * velocity, STEPS)) for sign in (1.0, -1.0))
    np.testing.assert_allclose(there, numpy(register_pairs(moving, fixed, method)), atol=1e-4)
    apart = np.linalg.norm((there + numpy(sample(back, there)))[0], axis=-1)
    assert apart[4:-4, 4:-4, 4:-4].mean() < 0.01
    assert folding_voxels(there[0]) == 0
    with pytest.raises(ValueError, match="velocity"):
        velocities_of_pairs(moving, fixed, Method())


def test_splines_fold_where_nothing_holds_them(rng):
    """Images without a relation, close control points: what a predictor of folding learns from; bending mends it."""
    moving, fixed = (texture(rng, (24, 24, 24), 1.0)[None, ..., None] for _ in range(2))
    folded = [
        folding_voxels(numpy(register_pairs(moving, fixed, method))[0])
        for method in (
            Method((Level(1, 40, 1),), transform="splines", spacing=2.0),
            Method((Level(1, 40, 1),), transform="splines", spacing=2.0, bending=1.0),
            Method((Level(1, 40, 1),), transform="splines", spacing=6.0),
        )
    ]
    assert folded[0] > 50
    assert folded[1] < 0.5 * folded[0]
    assert folded[2] < 0.5 * folded[0]


def test_transforms_that_do_not_exist():
    """A misspelled kind must not run as another."""
    with pytest.raises(ValueError, match="transform"):
        Method(transform="spline")
    with pytest.raises(ValueError, match="spacing"):
        Method(transform="splines", spacing=0.5)
