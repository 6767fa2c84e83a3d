"""The engine's descriptors, penalties, symmetric registration, beginnings, and what it asks of two contrasts."""

import numpy as np
import pytest
import scipy.ndimage
from keras.ops import convert_to_tensor as tensor

from nets.ops.folding import folding_voxels
from nets.registration.engine.deformable import register_pairs
from nets.registration.engine.method import Level, Method
from nets.registration.engine.mind import mind
from nets.registration.engine.penalties import PENALTIES, relax_bending, relax_elasticity, relax_gradient
from nets.registration.engine.relation import mapped, monotone_share
from tests.nets.test_engine import LEVELS, pair, texture
from tests.nets.test_ops import numpy


def test_descriptors_by_a_plain_loop(rng):
    """A voxel of the interior, each pair of neighbours written out: another order or box is another descriptor."""
    image = texture(rng, (9, 9, 9), 1.0)
    at, ends = (4, 4, 4), [(axis, sign) for axis in range(3) for sign in (-1, 1)]

    def box(axis, sign):
        centre = np.array(at)
        centre[axis] += sign
        return image[tuple(slice(place - 1, place + 2) for place in centre)].astype(float)

    distances = np.array(
        [
            np.mean((box(*one) - box(*other)) ** 2)
            for place, one in enumerate(ends)
            for other in ends[place + 1 :]
            if one[0] != other[0]
        ]
    )
    distances -= distances.min()
    expected = np.exp(-distances / distances.mean())
    np.testing.assert_allclose(numpy(mind(tensor(image[None, None])))[0, :, 4, 4, 4], expected, rtol=1e-3)


def test_descriptors_of_another_contrast_are_the_same(rng):
    """What they are for: inverted, brighter and stronger, an image has the same structure."""
    image = texture(rng, (12, 10, 11))[None, None]
    np.testing.assert_allclose(numpy(mind(tensor(3.0 - 2.0 * image))), numpy(mind(tensor(image))), atol=2e-3)
    assert mind(tensor(image[:, :, 0])).shape == (1, 4, 10, 11)


def energy(name, field):
    """Each penalty written out with the differences that its step descends; borders as the step has them."""
    parts = field[0].astype(float)
    forward = [np.diff(parts, axis=axis, append=np.take(parts, [-1], axis)) for axis in range(1, parts.ndim)]
    laplacian = sum(
        slope - np.concatenate([np.zeros_like(np.take(slope, [0], axis)), np.delete(slope, -1, axis)], axis)
        for axis, slope in enumerate(forward, 1)
    )
    return {"gradient": 0.5 * sum((slope**2).sum() for slope in forward), "bending": 0.5 * (laplacian**2).sum()}[name]


@pytest.mark.parametrize("name", ["gradient", "bending"])
def test_steps_descend_their_penalty(rng, name):
    """By finite differences of the energy: a wrong sign or border would roughen the field."""
    field = rng.normal(size=(1, 2, 6, 7)).astype("float32")
    scale = {"gradient": 8.0, "bending": 64.0}[name]
    step = scale * (numpy(PENALTIES[name](tensor(field), 1.0)) - field)
    for place in [(0, 0, 0, 0), (0, 1, 3, 2), (0, 0, 5, 6)]:
        up, down = field.copy(), field.copy()
        up[place] += 0.01
        down[place] -= 0.01
        assert -step[place] == pytest.approx((energy(name, up) - energy(name, down)) / 0.02, abs=2e-2)


@pytest.mark.parametrize("relax", [relax_gradient, relax_bending, relax_elasticity])
def test_no_field_diverges_under_a_weight_of_one(rng, relax):
    """Checkerboards are the worst case of an explicit step; a constant field has no derivatives to lose."""
    board = np.indices((8, 8, 8)).sum(axis=0) % 2 * 2.0 - 1.0
    field = np.stack([board, -board, board])[None].astype("float32") + rng.normal(size=(1, 3, 8, 8, 8)) * 0.1
    size = np.abs(field).max()
    for _ in range(30):
        field = numpy(relax(tensor(field.astype("float32")), 1.0))
        assert np.abs(field).max() <= 1.01 * size
    constant = np.full((1, 3, 5, 5, 5), 2.0, "float32")
    np.testing.assert_allclose(numpy(relax(tensor(constant), 1.0)), constant)


@pytest.mark.parametrize("name", list(PENALTIES))
def test_a_weight_makes_the_field_smoother(rng, name):
    """The hyper-parameter does what it says, continuously."""
    moving, fixed, _ = pair(rng, (24, 28, 26))
    levels = (Level(2, 10), Level(1, 10))
    roughness = []
    for weight in (0.0, 0.3, 1.0):
        field = numpy(register_pairs(moving, fixed, Method(levels, **{name: weight})))[0]
        roughness.append(np.mean([np.square(np.diff(field, axis=axis)).mean() for axis in range(3)]))
    assert roughness[0] > roughness[1] > roughness[2]


def test_exchanged_images_give_the_inverse(rng):
    """Symmetric: there and back is nowhere, within a tenth of a voxel; by default it is not."""
    moving, fixed, _ = pair(rng, (32, 36, 30), 3.0)
    inner = (slice(5, -5),) * 3
    apart = {}
    for symmetric in (True, False):
        there, back = (
            numpy(register_pairs(*images, Method(LEVELS, symmetric=symmetric)))[0]
            for images in ((moving, fixed), (fixed, moving))
        )
        places = np.indices(there.shape[:-1]) + np.moveaxis(there, -1, 0)
        further = [scipy.ndimage.map_coordinates(back[..., axis], places, order=1, mode="nearest") for axis in range(3)]
        apart[symmetric] = np.linalg.norm(there + np.stack(further, axis=-1), axis=-1)[inner].mean()
        assert folding_voxels(there) == 0
    assert apart[True] < 0.1
    assert apart[True] < 0.5 * apart[False]


def test_a_beginning_is_gone_on_from(rng):
    """A network's answer is improved, not forgotten: without iterations it is given back."""
    moving, fixed, truth = pair(rng, (24, 28, 26))
    finest = Level(1, 4, 1)
    begun, fresh = (
        numpy(register_pairs(moving, fixed, Method((finest,)), start=start))[0] for start in (truth[None], None)
    )
    error = [np.linalg.norm(field - truth, axis=-1).mean() for field in (begun, fresh)]
    assert error[0] < 0.3 * error[1]
    none = numpy(register_pairs(moving, fixed, Method(()), start=truth[None]))[0]
    np.testing.assert_allclose(none, truth)


def test_which_contrasts_a_curve_explains(rng):
    """Rising, falling, and neither: what chooses between correlation and descriptors."""
    moving = np.clip(texture(rng, (20, 20, 20)), 0.01, 1)
    noise = 0.003 * rng.normal(size=moving.shape)
    for fixed, low, high in (
        (moving**2, 0.95, 1.0),
        (1.1 - moving, 0.95, 1.0),
        (0.1 + 4 * (moving - np.median(moving)) ** 2, 0.0, 0.7),
    ):
        share, explained = monotone_share(moving, np.clip(fixed + noise, 0.01, None))
        assert low <= share <= high
        assert explained > 0.6
    assert monotone_share(moving, rng.random(moving.shape))[1] < 0.1
    masked = np.where(np.indices(moving.shape)[0] > 3, moving, 0)
    assert monotone_share(masked, np.where(masked > 0, 1.1 - masked, 0))[0] < 0.5  # the background's 0 is in the way


def test_an_image_gets_the_others_intensities(rng):
    """By the curve that made them: what is compared then is one contrast; background stays background."""
    moving = np.where(np.indices((20, 20, 20))[0] > 3, np.clip(texture(rng, (20, 20, 20)), 0.05, 1), 0)
    fixed = np.where(moving > 0, 0.1 + 4 * (moving - 0.5) ** 2, 0)
    result = mapped(moving, moving, fixed)
    assert np.all(result[moving == 0] == 0)
    assert np.corrcoef(result.ravel(), fixed.ravel())[0, 1] > 0.97
    assert mapped(moving, np.zeros_like(moving), fixed) is moving


def test_methods_that_do_not_exist():
    """A misspelled similarity or a negative weight must not run as something else."""
    with pytest.raises(ValueError, match="similarity"):
        Method(similarity="mi")
    with pytest.raises(ValueError, match="from 0 to 1"):
        Method(bending=-0.1)


def test_symmetric_has_no_beginning(rng):
    """Two fields to the middle cannot begin with one between the images."""
    image = texture(rng, (8, 8, 8))[None, ..., None]
    with pytest.raises(ValueError, match="begin with"):
        register_pairs(image, image, Method(symmetric=True), start=np.zeros((1, 8, 8, 8, 3), "float32"))
