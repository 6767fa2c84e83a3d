"""Pose, deformation and the network, against closed forms and SciPy."""

import keras
import numpy as np
import pytest
from scipy.ndimage import map_coordinates, zoom
from scipy.spatial.transform import Rotation

from nets.losses.dice import SegmentationLoss
from nets.ops.affine import parameters_to_affine
from nets.ops.compose import compose
from nets.ops.folding import folding_voxels
from nets.ops.integrate import integrate_velocity
from nets.ops.jacobian import jacobian_determinant
from nets.ops.moments import soft_moments
from segmentation.align import moments
from segmentation.deform import SHARPNESS, SmoothVelocity, deform, penalties
from segmentation.pose import PosePredictor, principal_pose
from segmentation.pose_loss import PoseLoss
from segmentation.signed_distance import signed_distance
from segmentation.template import Template
from segmentation.template_network import TemplateNetwork
from segmentation.topology import Topology, topology
from tests.segmentation.deform_cases import BALL, SIZE, TEMPLATE, network, numpy
from tests.segmentation.shapes import ellipsoid, grid, pear


def test_soft_moments_of_masks():
    """A wrong moment puts every template in a wrong place; those of one channel must not count in another."""
    masks = [pear(24, 1.0, Rotation.from_rotvec([0.3, 0.2, -0.4]).as_matrix(), (2, -1, 3)), pear(24, 0.8)]
    found = [numpy(item)[0] for item in soft_moments(np.stack(masks, axis=-1)[None].astype("float32"))]
    for mask, mass, centre, covariance in zip(masks, *found, strict=True):
        true_centre, true_covariance = moments(mask)
        assert mass == mask.sum()
        assert centre == pytest.approx(true_centre, abs=1e-3)
        assert covariance == pytest.approx(true_covariance, abs=2e-2)


def test_a_known_pose_is_read_off_moments():
    """Angles or scales in another order or sign would turn the template the wrong way."""
    turn, shift, scales = [20.0, -15.0, 35.0], [1.5, -2.0, 1.0], [1.2, 0.9, 1.1]
    radii = np.array([7.0, 4.5, 3.0])
    matrix = numpy(parameters_to_affine(np.array([[*shift, *turn, *scales]], "float32")))[0]
    still = ellipsoid(32, radii)
    moved = ellipsoid(32, radii * scales, matrix[:, :3] / scales, shift)
    _, covariance = moments(still)
    seen = principal_pose(
        *[item.astype("float32")[None] for item in moments(moved)],
        np.linalg.eigh(covariance)[1].astype("float32"),
        np.diag(covariance).astype("float32"),
    )
    found = numpy(seen)[0]
    assert found[:3] == pytest.approx(shift, abs=0.1)
    assert found[3:6] == pytest.approx(turn, abs=3.0)  # of voxels, not of a smooth body
    assert np.exp(found[6:]) == pytest.approx(scales, abs=0.05)


def test_distance_of_poses_from_a_mask():
    """A loss whose minimum is elsewhere would teach the network wrong sizes."""
    radii = np.array([14.0, 9.0, 6.0])
    still = ellipsoid(48, radii)
    loss = PoseLoss.of_template(still)
    moved = ellipsoid(48, radii * 1.2, centre=(2, -1, 0))[None, ..., None].astype("float32")
    right = np.array([[2, -1, 0, 0, 0, 0, 1.2, 1.2, 1.2]], "float32")
    assert float(loss(moved, right)) < 0.02
    # Ellipsoids have deviations of radius / sqrt(5): points at two of them move by a tenth of that.
    wrong = right + np.array([[0, 0, 0, 0, 0, 0, 0.1, 0, 0]], "float32")
    expected = 2 * (np.sqrt((0.2 * 14 / np.sqrt(5)) ** 2 + 1) - 1) / 7
    assert float(loss(moved, wrong)) == pytest.approx(expected, abs=0.01)
    shifted = right + np.array([[3, 0, 0, 0, 0, 0, 0, 0, 0]], "float32")
    assert float(loss(moved, shifted)) == pytest.approx(np.sqrt(10) - 1, abs=0.02)
    again = PoseLoss.from_config(loss.get_config())
    assert float(again(moved, wrong)) == float(loss(moved, wrong))


def test_an_untrained_pose_is_that_of_what_is_seen(rng):
    """Where nothing is seen the template stays; where all is seen nothing needs to be learned."""
    still, turn = ellipsoid(32, (7, 4.5, 3)), [20.0, -15.0, 35.0]
    rotation = numpy(parameters_to_affine(np.array([[0, 0, 0, *turn]], "float32")))[0, :, :3]
    seen = ellipsoid(32, (7, 4.5, 3), rotation, (2, -3, 1))
    pose, lowest = PosePredictor(), rng.random((2, 4, 4, 4, 6), dtype="float32")
    pose.build(lowest.shape, (2, 32, 32, 32, 1))
    pose.take_template(still)
    evidence = np.stack([np.zeros(seen.shape), np.where(seen, 5.0, -5.0)])[..., None].astype("float32")
    nothing, found = numpy(pose(lowest, evidence))
    assert nothing == pytest.approx([0] * 6 + [1] * 3, abs=1e-6)
    assert found[:3] == pytest.approx([2, -3, 1], abs=0.1)
    assert found[3:6] == pytest.approx(turn, abs=3)
    assert found[6:] == pytest.approx([1] * 3, abs=0.08)  # of voxels


def test_deformation_against_scipy(rng):
    """phi0 o L o G: in another order the local field would act in the image, not on the shape."""
    parameters = np.array([[1.0, -0.5, 0.7, 10, -8, 15, 1.1, 0.9, 1.05]], "float32")
    velocity = rng.normal(size=(1, 8, 8, 8, 3)).astype("float32")
    distances = rng.normal(size=(1, SIZE, SIZE, SIZE, 1)).astype("float32")
    moved, total, local = (numpy(item)[0] for item in deform(distances, parameters, velocity, diffeomorphic=False))
    pose = numpy(parameters_to_affine(parameters))[0]
    centre = (SIZE - 1) / 2
    y = (grid(SIZE) - pose[:, 3]) @ np.linalg.inv(pose[:, :3]).T + centre
    half = np.moveaxis((y - 0.5) / 2, -1, 0)
    u = np.stack([map_coordinates(velocity[0, ..., axis], half, order=1, mode="nearest") for axis in range(3)], axis=-1)
    to = y + 2 * u
    assert np.allclose(total, to - (grid(SIZE) + centre), atol=1e-4)
    expected = map_coordinates(distances[0, ..., 0], np.moveaxis(to, -1, 0), order=1, mode="nearest")
    assert np.allclose(moved[..., 0], expected, atol=1e-3)
    assert np.array_equal(local, velocity[0])
    with pytest.raises(ValueError, match="velocity, or both"):
        deform(distances)


def test_penalties_of_known_fields():
    """The pose carries the size only if growing costs what it should."""
    places = (grid(8) * 0.1)[None].astype("float32")  # u = 0.1 y: det = 1.1^3
    length, volume = (float(numpy(item)[0]) for item in penalties(places, BALL[None]))
    assert volume == pytest.approx((3 * np.log(1.1)) ** 2, rel=2e-2)
    assert length == pytest.approx(4 * np.mean(np.sum(places**2, axis=-1)), rel=1e-3)


def test_diffeomorphisms_neither_fold_nor_tear(rng):
    """The promise of the system; a plain displacement of the same fields breaks it."""
    smooth = SmoothVelocity()
    plain_folds = 0
    ball = signed_distance(ellipsoid(32, (8, 6, 5)))[None, ..., None]
    for _ in range(6):
        velocity = smooth(zoom(rng.normal(0, 8, (1, 5, 5, 5, 3)), (1, 3.2, 3.2, 3.2, 1), order=1).astype("float32"))
        moved, total, _ = deform(ball, None, velocity)
        assert numpy(jacobian_determinant(total)).min() > 0
        # Between voxels, too, once it is held back as in `app.systems.template.network`.
        assert folding_voxels(numpy(deform(ball, None, 0.5 * velocity)[1])[0]) == 0
        assert topology(numpy(moved)[0, ..., 0] > 0) == Topology(1, 0, 0)
        plain = deform(ball, None, velocity, diffeomorphic=False)[1]
        plain_folds += int((numpy(jacobian_determinant(plain)) <= 0).sum())
    assert plain_folds > 0


def test_there_and_back(rng):
    """exp(v) o exp(-v) is the identity: what is integrated is a flow."""
    velocity = numpy(SmoothVelocity()(rng.normal(0, 4, (1, 16, 16, 16, 3)).astype("float32")))
    window = np.hanning(16).astype("float32")
    velocity *= np.einsum("i,j,k->ijk", window, window, window)[None, ..., None]
    both = compose(integrate_velocity(velocity), integrate_velocity(-velocity))
    assert np.abs(numpy(both)).max() < 0.12 * np.abs(velocity).max()


@pytest.mark.parametrize("transform", ["global_local", "global", "local"])
def test_an_untrained_network_returns_the_template(transform, images):
    """A start elsewhere than at the identity must first be unlearned."""
    found = network(transform=transform)({"image": images})
    assert np.allclose(numpy(found["mask"])[0], SHARPNESS * BALL, atol=1e-5)
    assert np.abs(numpy(found["displacement"])).max() < 1e-5
    assert ("parameters" in found) == (transform != "local")
    assert ("velocity" in found) == (transform != "global")
    with pytest.raises(ValueError, match="Expected a transform"):
        network(transform="elastic")


@pytest.mark.parametrize("settings", [{}, {"diffeomorphic": False}, {"learned": True}], ids=str)
def test_training_reaches_every_weight(settings, images):
    """A weight without gradient is a part that never learns."""
    keras.utils.set_random_seed(0)
    model = network(**settings)
    rng = np.random.default_rng(0)
    for name in ("pose", "raw_velocity"):  # away from zero, where what lies below has no gradient yet
        layer = model.get_layer(name)
        for weight in layer.trainable_weights:
            weight.assign(weight + 0.05 * rng.standard_normal(weight.shape))
    before = {weight.path: numpy(weight) for weight in model.trainable_weights}
    compared = {"mask": SegmentationLoss(), "evidence": SegmentationLoss()}
    compared["parameters"] = PoseLoss.of_template(BALL[..., 0] > 0)
    model.compile(keras.optimizers.Adam(2e-3), compared, jit_compile=keras.backend.backend() == "jax")
    masks = np.stack([ellipsoid(SIZE, (4, 5, 4))[..., None]] * 2).astype("float32")
    images = 0.3 * images + 0.7 * masks  # of what is half learned from noise alone the pose jumps
    target = {"mask": masks, "evidence": masks, "parameters": masks}
    losses = [np.ravel(model.train_on_batch({"image": images}, target))[0] for _ in range(12)]
    still = [weight.path for weight in model.trainable_weights if np.array_equal(before[weight.path], numpy(weight))]
    assert not still
    assert losses[-1] < losses[0]
    template = numpy(model.get_layer("template").distances)
    assert np.array_equal(template, TEMPLATE.distances) != settings.get("learned", False)


def test_a_bank_mixes_its_members(images):
    """Shares that do not sum to one would shrink or swell the template."""
    other = signed_distance(ellipsoid(SIZE, (3, 5, 4)))[..., None]
    model = TemplateNetwork(SIZE, filters=(4, 6, 8), members=2)
    model.take_template(Template(np.stack([BALL, other]), 2.0, (1,)))
    found = model({"image": images})
    assert numpy(found["shares"]) == pytest.approx(0.5)
    assert np.allclose(numpy(found["mask"])[0], SHARPNESS * (BALL + other) / 2, atol=1e-5)


def test_a_saved_network_is_the_same(images, tmp_path):
    """A template lost on the way to the server would be an empty mask."""
    model = network(diffeomorphic=False)
    model.get_layer("pose").last.bias.assign(0.05 * np.ones(9))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, item in model({"image": images}).items():
        assert np.array_equal(numpy(loaded({"image": images})[name]), numpy(item)), name
