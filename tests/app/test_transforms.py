"""Transforms in memory: against SimpleITK, there and back, and what lies beyond."""

import itertools

import numpy as np
import pytest
import SimpleITK

from app.errors import UserError
from app.transforms.tally import Tally
from app.transforms.transform import Chain, Field, Linear
from tests.app.warp_cases import in_itk, points_within, smooth_field, through_itk, turned

STEPS = {"affine": turned(), "first": smooth_field(1, "straight"), "second": smooth_field(2, "oblique", 4.0)}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_that_of_itk(name):
    """Points within a field and beyond it: a sign or an order of axes that is wrong shows at once."""
    points = np.concatenate([points_within(), points_within() + 200.0])
    np.testing.assert_allclose(STEPS[name](points), through_itk(in_itk(STEPS[name]), points), atol=1e-4)


COMBINATIONS = [
    (order, backwards)
    for order, backwards in zip(
        itertools.cycle(itertools.permutations(STEPS)), itertools.product((False, True), repeat=3), strict=False
    )
]


@pytest.mark.parametrize(("order", "backwards"), COMBINATIONS)
def test_chains_there_and_back(order, backwards):
    """Eight combinations of order and inversion: as SimpleITK's composite, and back within 0.05 mm."""
    steps = [STEPS[name].inverse() if back else STEPS[name] for name, back in zip(order, backwards, strict=True)]
    parts = []
    for name, back in zip(order, backwards, strict=True):
        transform = in_itk(STEPS[name])
        if back and name != "affine":
            transform = _inverted_by_itk(STEPS[name])
        elif back:
            transform = transform.GetInverse()
        parts.append(transform)
    chain, points, tally = Chain(tuple(steps)), points_within(count=25, margin=8), Tally()
    moved = chain(points, tally)
    np.testing.assert_allclose(moved, through_itk(SimpleITK.CompositeTransform(parts), points), atol=0.05)
    np.testing.assert_allclose(chain.inverse()(moved, tally), points, atol=0.05)
    np.testing.assert_allclose(chain.joined()(points), moved, atol=1e-9)
    assert tally.residual_mm < 0.01


def _inverted_by_itk(field):
    """SimpleITK's own inverse of a field: by its iterative filter, on a field of twice the resolution."""
    image = in_itk(field).GetDisplacementField()
    inverse = SimpleITK.InvertDisplacementField(
        SimpleITK.Cast(image, SimpleITK.sitkVectorFloat64),
        maximumNumberOfIterations=200, maxErrorToleranceThreshold=1e-4, meanErrorToleranceThreshold=1e-5,
    )  # fmt: skip
    return SimpleITK.DisplacementFieldTransform(inverse)


def test_inverse_of_a_field_with_a_large_affine_part():
    """Our warps have the affine in them: a shift by more than the field's size is inverted all the same."""
    shape, affine = (20, 22, 18), np.diag([2.0, 2.0, 2.0, 1.0])
    small = smooth_field(3)
    matrix = turned().matrix.copy()
    matrix[:3, :3] = matrix[:3, :3] @ np.array([[0.0, -1.3, 0], [1.3, 0, 0], [0, 0, 1]])
    matrix[:3, 3] += 500.0
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3) * 2.0
    vectors = places @ matrix[:3, :3].T + matrix[:3, 3] - places + small.sampled(places.T / 2.0)
    field = Field(vectors.reshape(*shape, 3).astype("float32"), affine)
    points, tally = places[::17][np.all((places[::17] > 6) & (places[::17] < 28), axis=1)], Tally()
    np.testing.assert_allclose(field.inverse()(field(points), tally), points, atol=0.01)
    assert tally.missed == 0


def test_inverse_where_the_field_presses_together():
    """Slopes of -0.95 to 1.9 within a few voxels, no fold: a fixed point alone misses such points by millimetres."""
    places = np.arange(40)
    wave = 1.9 * np.sin(places / 2.0)
    assert np.diff(places + wave).min() > 0.04
    vectors = np.zeros((40, 12, 12, 3), "float32")
    vectors[..., 0] = wave[:, None, None]
    vectors[..., 1] = 0.5 * wave[:, None, None]
    field, tally = Field(vectors, np.eye(4)), Tally()
    points = np.random.default_rng(0).uniform([3, 4, 4], [36, 7, 7], (500, 3))
    there = field(points)
    np.testing.assert_allclose(field(field.inverse()(there, tally)), there, atol=2e-3)
    assert tally.missed == 0


def test_a_field_that_folds_is_not_silently_inverted():
    """Where several points land on one there is no single inverse: such points are counted."""
    vectors = np.zeros((20, 20, 20, 3), "float32")
    vectors[..., 0] = 14.0 * np.sin(np.arange(20) * np.pi / 4)[:, None, None]
    tally = Tally()
    Field(vectors, np.eye(4)).inverse()(np.random.default_rng(0).uniform(4, 15, (200, 3)), tally)
    assert tally.missed > 0


def test_points_beyond_a_field_are_counted():
    """ITK leaves them where they are without a word; we say how many."""
    tally, points = Tally(), np.concatenate([points_within(count=7), np.full((3, 3), 1e4)])
    moved = smooth_field(1)(points, tally)
    assert (tally.points, tally.beyond) == (10, 3)
    np.testing.assert_array_equal(moved[7:], points[7:])


def test_flat_affines_have_no_inverse():
    """A projection: forward it works, backwards it is refused."""
    flat = Linear(np.diag([1.0, 1.0, 0.0, 1.0]))
    np.testing.assert_allclose(flat(np.ones((1, 3))), [[1.0, 1.0, 0.0]])
    with pytest.raises(UserError, match="cannot be inverted"):
        flat.inverse()
    with pytest.raises(UserError, match="not finite"):
        Linear(np.full((4, 4), np.nan))


def test_2d_fields_hold_at_any_height(rng):
    """A plane's place across itself is nobody's business: moved and inverted at heights other than 0."""
    displacement = np.stack([np.full((12, 14), 0.8), np.full((12, 14), -0.6)], axis=-1).astype("float32")
    affine = np.diag([2.0, 3.0, 1.0, 1.0])
    field = Field.of_voxels(displacement, affine)
    points = np.column_stack([rng.uniform(6, 16, 9), rng.uniform(9, 30, 9), rng.uniform(-50, 50, 9)])
    np.testing.assert_allclose(field(points), points + [1.6, -1.8, 0.0], atol=1e-5)
    np.testing.assert_allclose(field.inverse()(field(points)), points, atol=1e-3)
