"""Sampling, integration and their relatives against SciPy, closed forms and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from nets.ops import (
    affine_to_displacement,
    compose,
    integrate_velocity,
    jacobian_determinant,
    resize,
    resize_field,
    sample,
)
from tests.derivatives import gradients
from tests.nets.op_cases import numpy, scipy_sample


def smooth(rng, shape, size):
    """A smooth random field."""
    from scipy.ndimage import gaussian_filter

    rank = len(shape)
    field = np.stack([gaussian_filter(rng.normal(size=shape), 3, mode="nearest") for _ in range(rank)], -1)
    return (size * field / field.std()).astype("float32")[None]


@settings(max_examples=15, deadline=None)
@given(
    shape=st.one_of(
        st.tuples(*[st.integers(2, 9)] * 2),
        st.tuples(*[st.integers(2, 9)] * 3),
    ),
    batch=st.integers(1, 2),
    channels=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_linear_sampling_equals_scipy(shape, batch, channels, seed):
    """A wrong axis, edge or batch offset would move images to the wrong place."""
    rng = np.random.default_rng(seed)
    volume = rng.normal(size=(batch, *shape, channels)).astype("float32")
    displacement = rng.normal(scale=4, size=(batch, *shape, len(shape))).astype("float32")
    expected = scipy_sample(volume, displacement, order=1)
    np.testing.assert_allclose(numpy(sample(volume, displacement)), expected, atol=1e-4)


def test_nearest_sampling_keeps_labels(rng):
    """Labels that are not in the input would be invented structures."""
    labels = rng.integers(0, 5, size=(1, 8, 9, 7, 1)).astype("float32")
    displacement = rng.uniform(-3, 3, size=(1, 8, 9, 7, 3)).astype("float32")
    moved = numpy(sample(labels, displacement, "nearest"))
    np.testing.assert_array_equal(moved, scipy_sample(labels, displacement, order=0))


def test_fill_value_outside_only(rng):
    """Outside voxels that keep the edge's value would smear the border; inside must not change."""
    volume = rng.random((1, 6, 6, 1)).astype("float32")
    displacement = np.zeros((1, 6, 6, 2), "float32")
    displacement[0, 0, :, 0] = -0.5
    moved = numpy(sample(volume, displacement, fill_value=7.0))
    assert (moved[0, 0] == 7.0).all()
    np.testing.assert_allclose(moved[0, 1:], volume[0, 1:])


def test_displacement_is_pull_back_in_ij_order():
    """The opposite direction or axis order is the commonest error of this field."""
    volume = np.arange(12, dtype="float32").reshape(1, 3, 4, 1)
    displacement = np.zeros((1, 3, 4, 2), "float32")
    displacement[..., 0] = 1.0
    moved = numpy(sample(volume, displacement))
    np.testing.assert_array_equal(moved[0, 0, :, 0], volume[0, 1, :, 0])


@pytest.mark.parametrize(("rank", "channels"), [(2, 2), (3, 1), (3, 2), (3, 11)])
def test_gradients_equal_finite_differences(rng, rank, channels):
    """A wrong hand-written gradient would train towards something else, silently."""
    shape = (5, 6, 4)[:rank]
    volume = rng.normal(size=(2, *shape, channels)).astype("float32")
    # Away from whole numbers, where the interpolation has kinks; some positions outside.
    displacement = (rng.integers(-2, 3, size=(2, *shape, rank)) + rng.uniform(0.2, 0.8, size=(2, *shape, rank))).astype(
        "float32"
    )
    weights = rng.normal(size=volume.shape).astype("float32")

    def loss(v, u):
        return float(np.sum(numpy(sample(v, u)).astype("float64") * weights))

    found = gradients(lambda v, u: ops.sum(sample(v, u) * ops.convert_to_tensor(weights)), volume, displacement)
    for which, gradient in enumerate(found):
        for index in [tuple(rng.integers(0, n) for n in gradient.shape) for _ in range(25)]:
            shifted = []
            for step in (0.05, -0.05):
                arrays = [volume.copy(), displacement.copy()]
                arrays[which][index] += step
                shifted.append(loss(*arrays))
            assert gradient[index] == pytest.approx((shifted[0] - shifted[1]) / 0.1, abs=2e-3)


def test_constant_velocity_integrates_to_translation():
    """Scaling and squaring with a wrong number of steps scales every displacement."""
    velocity = np.ones((1, 8, 8, 8, 3), "float32") * np.array([1.5, -2.0, 0.25], "float32")
    np.testing.assert_allclose(numpy(integrate_velocity(velocity, 7)), velocity, atol=1e-5)


def test_integration_follows_the_flow(rng):
    """The result must be the flow of dx/dt = v(x), as small Euler steps give it."""
    velocity = smooth(rng, (24, 24), 1.0)
    points = np.zeros_like(velocity)
    for _ in range(512):
        points = points + scipy_sample(velocity, points, order=1) / 512
    # What remains is the linear interpolation of each squaring; half a step off would be 0.5.
    inner = np.s_[:, 4:-4, 4:-4]
    np.testing.assert_allclose(numpy(integrate_velocity(velocity, 9))[inner], points[inner], atol=0.05)


def test_negative_velocity_gives_the_inverse(rng):
    """A diffeomorphism composed with its inverse must be the identity, away from the edge."""
    velocity = smooth(rng, (24, 24, 24), 1.0)
    there, back = integrate_velocity(velocity), integrate_velocity(-velocity)
    residual = numpy(compose(there, back))[0, 5:-5, 5:-5, 5:-5]
    assert np.abs(residual).max() < 0.1


def test_composition_is_one_warp_after_another(rng):
    """The wrong order would apply the second transform first."""
    image = smooth(rng, (20, 22), 1.0)[..., :1]
    first, second = smooth(rng, (20, 22), 1.0), smooth(rng, (20, 22), 1.0)
    step_by_step = numpy(sample(sample(image, first), second))
    at_once = numpy(sample(image, compose(first, second)))
    np.testing.assert_allclose(at_once[0, 4:-4, 4:-4], step_by_step[0, 4:-4, 4:-4], atol=0.1)


def test_resize_keeps_corners_and_scales_vectors():
    """A half-voxel shift or unscaled vectors would misplace every half-resolution field."""
    ramp = np.arange(5, dtype="float32").reshape(1, 5, 1, 1) * np.ones((1, 5, 6, 1), "float32")
    larger = numpy(resize(ramp, 2))
    np.testing.assert_allclose(larger[0, :, 0, 0], np.linspace(0, 4, 10), atol=1e-5)
    field = np.ones((1, 4, 4, 2), "float32")
    np.testing.assert_allclose(numpy(resize_field(field, 2)), 2.0 * np.ones((1, 8, 8, 2)), atol=1e-6)
    assert numpy(resize(ramp, 0.5)).shape == (1, 2, 3, 1)


def test_rotation_field_has_unit_jacobian():
    """A rotation keeps volume; a scaling by 1.2 multiplies it by 1.728."""
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0, 0], [np.sin(angle), np.cos(angle), 0, 0], [0, 0, 1, 0]])
    scaling = np.hstack([1.2 * np.eye(3), np.zeros((3, 1))])
    matrices = np.stack([rotation, scaling]).astype("float32")
    determinant = numpy(jacobian_determinant(affine_to_displacement(matrices, (6, 7, 8))))
    np.testing.assert_allclose(determinant[0], 1.0, atol=1e-4)
    np.testing.assert_allclose(determinant[1], 1.2**3, atol=1e-4)


def test_affine_turns_about_the_centre():
    """A rotation about the corner would throw the image out of its own grid."""
    quarter = np.array([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]], "float32")
    image = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    moved = numpy(sample(image, affine_to_displacement(quarter, (5, 5))))
    np.testing.assert_allclose(moved[0, ..., 0], np.rot90(image[0, ..., 0], k=-1), atol=1e-4)


def test_jacobian_counts_a_fold():
    """A fold that goes uncounted would pass a broken registration as sound."""
    displacement = np.zeros((1, 8, 8, 2), "float32")
    displacement[0, 4, :, 0], displacement[0, 5, :, 0] = 2.0, -2.0
    assert (numpy(jacobian_determinant(displacement)) <= 0).any()


@pytest.mark.parametrize("rank", [2, 3])
def test_gradients_through_integration_equal_finite_differences(rng, rank):
    """The step that both warps and adds has a gradient of its own."""
    velocity = smooth(rng, (7, 6, 8)[:rank], 0.6)
    weights = rng.normal(size=velocity.shape).astype("float32")

    def loss(v):
        return float(np.sum(numpy(integrate_velocity(v, 3)).astype("float64") * weights))

    (gradient,) = gradients(lambda v: ops.sum(integrate_velocity(v, 3) * ops.convert_to_tensor(weights)), velocity)
    for index in [tuple(rng.integers(0, n) for n in gradient.shape) for _ in range(20)]:
        ends = []
        for step in (5e-3, -5e-3):
            shifted = velocity.copy()
            shifted[index] += step
            ends.append(loss(shifted))
        # Kinks at whole numbers leave a few thousandths.
        assert gradient[index] == pytest.approx((ends[0] - ends[1]) / 1e-2, abs=5e-2)


def test_an_identity_changes_nothing(rng):
    """Rounding of weights at the last voxel would alter images that need no warp."""
    volume = rng.normal(scale=1e4, size=(1, 6, 5, 7, 2)).astype("float32")
    np.testing.assert_array_equal(numpy(sample(volume, np.zeros((1, 6, 5, 7, 3)))), volume)
