"""Affine transforms, composition, inversion and points: closed forms and round trips."""

import keras
import numpy as np
import pytest

from nets.ops import (
    affine_to_displacement,
    compose,
    integrate_velocity,
    invert_affine,
    invert_displacement,
    parameters_to_affine,
    points_to_fixed,
    points_to_moving,
    sample,
    sample_at,
)
from tests.nets.test_ops import numpy, smooth


def random_affine(rng, rank=3, batch=2):
    matrix = np.eye(rank, rank + 1) + 0.1 * rng.normal(size=(batch, rank, rank + 1))
    return matrix.astype("float32")


@pytest.mark.parametrize("rank", [2, 3])
def test_a_matrix_and_its_inverse_cancel(rng, rank):
    """An inverse with the translation unturned brings nothing back to its place."""
    matrix = random_affine(rng, rank)
    together = numpy(compose(matrix, invert_affine(matrix)))
    np.testing.assert_allclose(together, np.broadcast_to(np.eye(rank, rank + 1), together.shape), atol=1e-5)


def test_parameters_have_the_fields_meaning():
    """Another order or direction of the angles would turn heads the other way."""
    quarter = numpy(parameters_to_affine(np.array([[0, 0, 0, 0, 0, 90.0]], "float32")))[0]
    np.testing.assert_allclose(quarter, [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], atol=1e-6)
    full = numpy(parameters_to_affine(np.array([[1, 2, 3, 0, 0, 0, 2, 3, 4, 0.1, 0.2, 0.3]], "float32")))[0]
    np.testing.assert_allclose(full, [[2, 0.2, 0.4, 1], [0, 3, 0.9, 2], [0, 0, 4, 3]], atol=1e-6)
    flat = numpy(parameters_to_affine(np.array([[5, 6, 90.0]], "float32"), rank=2))[0]
    np.testing.assert_allclose(flat, [[0, -1, 5], [1, 0, 6]], atol=1e-6)


@pytest.mark.parametrize(("rank", "counts"), [(2, [2, 3, 5, 6]), (3, [3, 6, 9, 12])])
def test_parameters_left_out_are_the_identitys(rng, rank, counts):
    """A missing scale read as 0 would shrink the image to a point."""
    full = np.zeros((1, counts[-1]), "float32")
    full[:, counts[1] : counts[2]] = 1.0
    full[:, : counts[0]] = rng.normal(size=counts[0])
    expected = numpy(parameters_to_affine(full, rank))
    for count in counts:
        np.testing.assert_allclose(numpy(parameters_to_affine(full[:, :count], rank)), expected, atol=1e-6)
    with pytest.raises(ValueError, match="parameters.shape"):
        parameters_to_affine(full[:, :4], rank)


def test_matrices_compose_like_their_displacements(rng):
    """Products in the wrong order are the commonest slip with affine transforms."""
    first, second = random_affine(rng), random_affine(rng)
    shape = (12, 13, 14)
    matrix = affine_to_displacement(compose(first, second), shape)
    fields = compose(*(affine_to_displacement(item, shape) for item in (first, second)))
    mixed = [
        compose(first, affine_to_displacement(second, shape)),
        compose(affine_to_displacement(first, shape), second),
    ]
    for field in (fields, *mixed):
        # The displacement is clamped where the second transform leads out of the grid.
        np.testing.assert_allclose(numpy(field)[:, 4:-4, 4:-4, 4:-4], numpy(matrix)[:, 4:-4, 4:-4, 4:-4], atol=1e-3)


def test_an_inverse_displacement_undoes_its_displacement(rng):
    """A residual that reports success where there is none would hide a broken inverse."""
    displacement = numpy(integrate_velocity(smooth(rng, (24, 24, 24), 1.0)))
    inverse, residual = map(numpy, invert_displacement(displacement, 30))
    inner = np.s_[:, 5:-5, 5:-5, 5:-5]
    assert residual[inner].max() < 1e-3
    # What is left is the linear interpolation of both; an inverse with the wrong sign would leave 2 voxels.
    assert np.abs(numpy(compose(inverse, displacement))[inner]).max() < 0.1
    left = np.linalg.norm(inverse + numpy(sample(displacement, inverse)), axis=-1)
    np.testing.assert_allclose(residual, left, atol=1e-5)


def test_the_residual_tells_a_fold(rng):
    """What folds has no inverse."""
    displacement = np.zeros((1, 16, 16, 2), "float32")
    displacement[0, 7, :, 0], displacement[0, 8, :, 0] = 3.0, -3.0
    _, residual = invert_displacement(displacement)
    assert numpy(residual).max() > 0.5


def test_points_follow_the_image(rng):
    """A landmark moved in the wrong direction ends twice as far from where it should be."""
    moving = np.zeros((1, 20, 20, 20, 1), "float32")
    moving[0, 9, 10, 11] = 1.0
    shift = np.broadcast_to(np.array([2.0, -3.0, 1.0], "float32"), (1, 20, 20, 20, 3))
    moved = numpy(sample(moving, shift))
    there = np.argwhere(moved[0, ..., 0] == 1.0)
    found, residual = map(numpy, points_to_fixed(np.array([[[9.0, 10.0, 11.0]]]), shift))
    np.testing.assert_allclose(found[0], there, atol=1e-5)
    np.testing.assert_allclose(residual, 0, atol=1e-5)
    np.testing.assert_allclose(numpy(points_to_moving(there[None], shift))[0, 0], [9, 10, 11], atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3])
def test_points_come_back(rng, rank):
    """Both directions must be each other's inverse where the displacement has one."""
    displacement = numpy(integrate_velocity(smooth(rng, (24,) * rank, 1.0)))
    points = rng.uniform(6, 17, size=(1, 50, rank)).astype("float32")
    moving = points_to_moving(points, displacement)
    back, residual = points_to_fixed(moving, displacement)
    np.testing.assert_allclose(numpy(back), points, atol=1e-3)
    assert numpy(residual).max() < 1e-3


def test_sampling_at_points_equals_scipy(rng):
    """Points between voxels, and outside, where the edge holds."""
    from scipy.ndimage import map_coordinates

    volume = rng.normal(size=(2, 6, 7, 5, 2)).astype("float32")
    points = rng.uniform(-2, 8, size=(2, 40, 3)).astype("float32")
    found = numpy(sample_at(volume, points))
    for batch in range(2):
        for channel in range(2):
            expected = map_coordinates(volume[batch, ..., channel], points[batch].T, order=1, mode="nearest")
            np.testing.assert_allclose(found[batch, :, channel], expected, atol=1e-5)


def test_what_does_not_fit_is_named():
    """A matrix taken for a field would be warped with."""
    with pytest.raises(ValueError, match="points.shape"):
        sample_at(np.zeros((1, 4, 4, 1)), np.zeros((1, 5, 3)))
    with pytest.raises(ValueError, match="matrix.shape"):
        invert_affine(np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match="shape="):
        affine_to_displacement(np.zeros((1, 2, 3)), (4, 4, 4))
    with pytest.raises(ValueError, match="at least one"):
        compose()


def layers():
    """Every layer over transforms, with what it is called on."""
    from nets import layers as L  # noqa: N812

    rng = np.random.default_rng(0)
    field, matrix = smooth(rng, (9, 8, 7), 0.5), random_affine(rng, batch=1)
    image, points = rng.random((1, 9, 8, 7, 2)).astype("float32"), rng.uniform(1, 6, (1, 4, 3)).astype("float32")
    return {
        "warp": (L.SpatialTransformer(), (image, field)),
        "nearest": (L.SpatialTransformer("nearest", fill_value=2.0), (image, field)),
        "integrate": (L.IntegrateVelocity(5), (field,)),
        "resize": (L.ResizeField(2), (field,)),
        "compose": (L.ComposeFields(), ([matrix, field],)),
        "invert_affine": (L.InvertAffine(), (matrix,)),
        "affine_to_field": (L.AffineToField(), (matrix, image)),
        "parameters": (L.ParametersToAffine(), (np.ones((1, 9), "float32"),)),
        "points": (L.TransformPoints(), (points, field)),
        "points_back": (L.TransformPoints("to_fixed"), (points, field)),
        "invert": (L.InvertDisplacement(), (field,)),
        "forces": (L.RegistrationForces(), (image[..., :1], image[..., 1:])),
        "pad": (L.PadToMultiple(4), (image,)),
        "crop": (L.CropLike(), (np.repeat(image, 2, axis=1), image)),
    }


def symbolic(array):
    """A Keras input of unknown spatial sizes."""
    spatial = [None] * (array.ndim - 2) if array.ndim > 3 else array.shape[1:-1]
    return keras.Input((*spatial, array.shape[-1]))


@pytest.mark.parametrize("name", list(layers()))
def test_layers_of_unknown_size_answer_alike_and_are_saved(tmp_path, name):
    """A model built without sizes, saved and loaded must give what the layer gives."""
    layer, arguments = layers()[name]
    inputs = keras.tree.map_structure(symbolic, arguments)
    outputs = layer(*inputs)
    model = keras.Model(keras.tree.flatten(inputs), outputs)
    model.save(tmp_path / "layer.keras")
    loaded = keras.models.load_model(tmp_path / "layer.keras")
    answers = keras.tree.flatten(loaded(keras.tree.flatten(arguments)))
    expected = keras.tree.flatten(layer(*arguments))
    for answer, want, spec in zip(answers, expected, keras.tree.flatten(outputs), strict=True):
        np.testing.assert_allclose(numpy(answer), numpy(want), atol=1e-6)
        assert all(size is None or size == found for size, found in zip(spec.shape, answer.shape, strict=True))
        assert len(spec.shape) == len(answer.shape)
