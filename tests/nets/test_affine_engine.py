"""Affine alignment: derivatives against finite differences, transforms against those that made the images."""

import numpy as np
import pytest
import scipy.ndimage
from scipy.spatial.transform import Rotation

from nets.registration.engine.affine import align
from nets.registration.engine.correlation_ratio import CorrelationRatio
from nets.registration.engine.freedom import KINDS, Transform
from nets.registration.engine.starts import rotations

PARAMETERS = {3: (6, 7, 9, 12), 2: (3, 4, 5, 6)}


def head(rng, shape):
    """Bright blobs in a dark ellipsoid without symmetry, background 0."""
    image = scipy.ndimage.gaussian_filter(rng.normal(size=shape), 3.5)
    image = 0.2 + 0.7 * (image - image.min()) / np.ptp(image)
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"))
    radii = np.array([0.8, 0.55, 0.65][: len(shape)]).reshape(-1, *[1] * len(shape))
    brain = (np.sum((places / radii) ** 2, axis=0) < 1) & ~np.all(places > 0.15, axis=0)  # an eighth is missing
    return np.where(brain, image, 0).astype("float32")


def transformed(image, linear, shift, spacing):
    """An image through a map about its centre, in millimetres, and the map `fixed -> moving`."""
    rank = image.ndim
    middle = (np.array(image.shape) - 1) / 2 * spacing
    truth = np.eye(rank + 1)
    truth[:-1, :-1], truth[:-1, -1] = linear, middle + shift - linear @ middle
    grid = np.diag([spacing] * rank + [1.0])
    matrix = np.linalg.inv(grid) @ truth @ grid
    moved = scipy.ndimage.affine_transform(image, matrix[:-1, :-1], matrix[:-1, -1], order=1)
    return moved, truth, grid


def apart(estimate, truth, image, spacing):
    """Mean distance, in voxels, between where the two put the image's voxels."""
    places = np.argwhere(image > 0) * spacing
    wrong = estimate @ np.linalg.inv(truth)
    return np.linalg.norm(places @ wrong[:-1, :-1].T + wrong[:-1, -1] - places, axis=1).mean() / spacing


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_directions_are_derivatives(rng, rank, kind):
    """Of the matrix in each parameter: a wrong one makes steps that do not descend."""
    rotation = np.linalg.qr(rng.normal(size=(rank, rank)))[0]
    scales = np.ones(rank) if kind in ("rigid", "affine") else rng.uniform(0.8, 1.2, rank)
    if kind == "similarity":
        scales = scales[0] * np.ones(rank)
    transform = Transform(kind, rotation, scales, rng.normal(size=rank), rng.normal(size=rank))
    directions = transform.directions()
    assert len(directions) == PARAMETERS[rank][KINDS.index(kind)]
    for place, direction in enumerate(directions):
        step = np.zeros(len(directions))
        step[place] = 1e-5
        change = (transform.moved(step).matrix - transform.moved(-step).matrix) / 2e-5
        np.testing.assert_allclose(change.ravel(), direction, atol=1e-6)


def test_the_gradient_is_the_values_own(rng):
    """By finite differences in every entry of the matrix, the curve between intensities fitted anew each time."""
    image = head(rng, (14, 15, 16))
    points = rng.uniform(3, 11, size=(1500, 3))
    fixed = np.clip(0.9 - 0.7 * scipy.ndimage.map_coordinates(image, points.T, order=1), 0, 1)
    inside = (image > 0).astype("float32")
    level = CorrelationRatio(image, inside, np.eye(4), points, fixed, 12)
    matrix = np.eye(4)[:3] + 0.02 * rng.normal(size=(3, 4))
    value, gradient, curvature = level.normal_equations(matrix[None])
    assert value[0] == pytest.approx(level.values(matrix[None])[0], rel=1e-5)
    steps = []
    for place in range(12):
        step = np.zeros(12)
        step[place] = 1e-3 if place % 4 == 3 else 1e-4
        both = level.values(np.stack([matrix + sign * step.reshape(3, 4) for sign in (1, -1)]))
        steps.append((both[0] - both[1]) / (2 * step[place]))
    # The moving image's slopes are central differences, not those of its interpolation.
    assert np.corrcoef(gradient[0], steps)[0, 1] > 0.98
    assert np.linalg.eigvalsh(curvature[0]).min() > -1e-3 * np.linalg.eigvalsh(curvature[0]).max()


def test_rotations_cover_all(rng):
    """A head that lies in no start's neighbourhood is not recovered."""
    listed = rotations(3)
    np.testing.assert_allclose(listed @ listed.transpose(0, 2, 1), np.tile(np.eye(3), (len(listed), 1, 1)), atol=1e-9)
    assert np.all(np.linalg.det(listed) > 0)
    asked = Rotation.random(500, random_state=0).as_matrix()
    traces = np.einsum("nab,mab->nm", asked, listed)
    assert np.degrees(np.arccos(np.clip((traces.max(axis=1) - 1) / 2, -1, 1))).max() < 27


@pytest.mark.parametrize("turn", [0, 70, 180])
def test_turned_heads_are_recovered(rng, turn):
    """Without a hint from the headers, to a third of a voxel; rigid."""
    image = head(rng, (40, 44, 42))
    linear = Rotation.from_rotvec(np.radians(turn) * np.array([0.6, 0.0, 0.8])).as_matrix()
    fixed, truth, grid = transformed(image, linear, np.array([3.0, -5.0, 2.0]), 2.0)
    result = align(image, fixed, grid, grid, "rigid")
    assert apart(result.matrix, truth, image, 2.0) < 0.35
    assert result.after < 0.1
    np.testing.assert_allclose(np.linalg.det(result.matrix), 1.0, atol=1e-9)


@pytest.mark.parametrize("kind", ["similarity", "scaling", "affine"])
def test_each_kind_recovers_its_own(rng, kind):
    """And from another contrast: dark where the other is bright."""
    image = head(rng, (40, 44, 42))
    linear = Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix()
    linear = (
        linear
        @ {
            "similarity": np.diag([1.15] * 3),
            "scaling": np.diag([0.9, 1.1, 1.05]),
            "affine": np.array([[1.1, 0.1, 0.0], [0.0, 0.95, 0.08], [-0.05, 0.0, 1.0]]),
        }[kind]
    )
    fixed, truth, grid = transformed(image, linear, np.array([4.0, 2.0, -3.0]), 1.5)
    fixed = np.where(fixed > 0.15, 1.1 - fixed, 0).astype("float32")
    result = align(image, fixed, grid, grid, kind)
    assert apart(result.matrix, truth, image, 1.5) < 0.5
    assert result.start == "header"


def test_flat_images(rng):
    """2D: a turn about the one axis there is."""
    image = head(rng, (60, 64))
    angle = np.radians(130)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    fixed, truth, grid = transformed(image, linear, np.array([3.0, -2.0]), 1.0)
    assert apart(align(image, fixed, grid, grid, "affine").matrix, truth, image, 1.0) < 0.5


def test_exchanged_images_give_about_the_inverse(rng):
    """Both images are predicted from each other: neither is preferred."""
    image, other = head(rng, (36, 40, 38)), head(rng, (36, 40, 38))
    linear = Rotation.from_rotvec([0.1, 0.2, -0.1]).as_matrix() * 1.1
    fixed, _, grid = transformed(np.where(image > 0, 0.7 * image + 0.3 * other, 0), linear, np.zeros(3), 2.0)
    there, back = align(image, fixed, grid, grid).matrix, align(fixed, image, grid, grid).matrix
    assert apart(there @ back, np.eye(4), image, 2.0) < 0.3


def test_as_well_as_simple_itk(rng):
    """A small transform within its capture range, by the rival's own metric: mutual information."""
    SimpleITK = pytest.importorskip("SimpleITK")  # noqa: N806 - not in the environment of the other backends
    image = head(rng, (40, 44, 42))
    linear = Rotation.from_rotvec([0.1, -0.1, 0.15]).as_matrix() @ np.diag([1.05, 0.95, 1.1])
    fixed, truth, grid = transformed(image, linear, np.array([2.0, 3.0, -2.0]), 2.0)
    images = [SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T)) for array in (fixed, image)]
    for image_of_itk in images:
        image_of_itk.SetSpacing([2.0] * 3)
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 100, 0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    method.SetInitialTransform(
        SimpleITK.CenteredTransformInitializer(*images, SimpleITK.AffineTransform(3)), inPlace=False
    )
    theirs = method.Execute(*images)
    matrix, origin = np.eye(4), np.array(theirs.TransformPoint((0.0, 0.0, 0.0)))
    matrix[:3, :3] = np.transpose([np.array(theirs.TransformPoint(tuple(row))) - origin for row in np.eye(3)])
    matrix[:3, 3] = origin
    errors = [apart(estimate, truth, image, 2.0) for estimate in (align(image, fixed, grid, grid).matrix, matrix)]
    assert errors[0] < max(0.3, errors[1])


def test_wrong_arguments(rng):
    """A kind that does not exist, or images of different ranks."""
    image = head(rng, (12, 12, 12))
    with pytest.raises(ValueError, match="kind"):
        align(image, image, np.eye(4), np.eye(4), "projective")
    with pytest.raises(ValueError, match="moving.shape"):
        align(image[0], image, np.eye(3), np.eye(4))
