"""The original package, in a process of its own, answers the same seeded questions as ours."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from nets.losses import dice_loss, gradient_penalty, mi_loss, mse_loss, ncc_loss
from nets.ops import (
    affine_to_displacement,
    compose,
    integrate_velocity,
    invert_affine,
    parameters_to_affine,
    points_to_moving,
    resize_field,
    sample,
)
from tests.derivatives import gradients

CHILD = Path(__file__).with_name("voxelmorph_answers.py")


@pytest.fixture(scope="module")
def dialogue(tmp_path_factory):
    """Questions, and the original package's answers."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    shape = (2, 10, 12, 8)

    def field(size):
        return (size * gaussian_filter(rng.normal(size=(*shape, 3)), (0, 1, 1, 1, 0)) * 4).astype("float32")

    questions = {
        "image": rng.random((*shape, 1)).astype("float32"),
        "other": rng.random((*shape, 1)).astype("float32"),
        "field": field(1.0),
        "second": field(0.7),
        "matrix": (np.eye(3, 4) + 0.1 * rng.normal(size=(2, 3, 4))).astype("float32"),
        "other_matrix": (np.eye(3, 4) + 0.1 * rng.normal(size=(2, 3, 4))).astype("float32"),
        "parameters": rng.normal(1.0, 10.0, size=(5, 12)).astype("float32"),
        "points": rng.uniform(-1, 11, size=(2, 20, 3)).astype("float32"),
        "labels": rng.integers(0, 4, size=shape),
        "other_labels": rng.integers(0, 3, size=shape),
    }
    folder = tmp_path_factory.mktemp("oracle")
    np.savez(folder / "questions.npz", **questions)
    done = subprocess.run(
        [sys.executable, CHILD, folder / "questions.npz", folder / "answers.npz"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return questions, dict(np.load(folder / "answers.npz"))


OURS = {
    "linear": lambda q: sample(q["image"], q["field"]),
    "nearest": lambda q: sample(q["image"], q["field"], "nearest"),
    "fill": lambda q: sample(q["image"], q["field"], fill_value=7.0),
    "integrated": lambda q: integrate_velocity(q["field"], 7),
    "resized": lambda q: resize_field(q["field"], 2),
    "halved": lambda q: resize_field(q["field"], 0.5),
    "composed": lambda q: compose(q["field"], q["second"]),
    "third": lambda q: resize_field(q["field"], 0.3),
    "smoothness": lambda q: gradient_penalty(q["field"]),
    "smoothness_l1": lambda q: gradient_penalty(q["field"], "l1"),
    "affine": lambda q: affine_to_displacement(q["matrix"], q["image"].shape[1:-1]),
    "affine_warped": lambda q: sample(q["image"], affine_to_displacement(q["matrix"], q["image"].shape[1:-1])),
    "inverse": lambda q: invert_affine(q["matrix"]),
    "affine_composed": lambda q: compose(q["matrix"], q["other_matrix"]),
    "mixed_composed": lambda q: compose(q["matrix"], q["field"]),
    "parameters": lambda q: parameters_to_affine(q["parameters"]),
    "rigid_parameters": lambda q: parameters_to_affine(q["parameters"][:, :6]),
    "flat_parameters": lambda q: parameters_to_affine(q["parameters"][:, :6], rank=2),
    "points": lambda q: points_to_moving(q["points"], q["field"]),
    "multichannel": lambda q: sample(np.eye(4, dtype="float32")[q["labels"]], q["field"]),
}


@pytest.mark.parametrize("name", list(OURS))
def test_ours_equals_voxelmorph(dialogue, name):
    """Users who move a VoxelMorph pipeline here must see nothing change."""
    questions, answers = dialogue
    ours = keras.ops.convert_to_numpy(OURS[name](questions))
    np.testing.assert_allclose(ours, answers[name], atol=1e-5)


def test_losses_equal_voxelmorphs(dialogue):
    """A loss on another scale would give every published lambda another meaning."""
    questions, answers = dialogue
    image, other = questions["image"], questions["other"]
    # Variances by differences of sums in another order: float32 leaves 1e-5 of a value near 0.1.
    np.testing.assert_allclose(np.asarray(ncc_loss(image, other)), np.ravel(answers["ncc"]), atol=2e-5)
    np.testing.assert_allclose(np.mean(mse_loss(image, other)), answers["mse"], atol=1e-6)
    np.testing.assert_allclose(mi_loss(image, other), answers["mi"], atol=1e-5)
    # Ours is 1 minus the Dice, theirs minus the Dice.
    labels, others = (np.eye(4, dtype="float32")[questions[name]] for name in ("labels", "other_labels"))
    np.testing.assert_allclose(np.mean(dice_loss(labels, others)) - 1.0, answers["dice"], atol=1e-6)


@pytest.mark.parametrize("name", ["ncc", "mse", "mi"])
def test_gradients_of_losses_equal_voxelmorphs(dialogue, name):
    """What trains a network is a loss' gradient, not its value."""
    questions, answers = dialogue
    ours = {"ncc": ncc_loss, "mse": mse_loss, "mi": mi_loss}[name]
    (found,) = gradients(lambda image: keras.ops.sum(ours(questions["other"], image)), questions["image"])
    # VoxelMorph's MSE is the mean over the batch, ours one value per sample.
    expected = answers[f"{name}_gradient"] * (len(found) if name == "mse" else 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradients_equal_voxelmorphs(dialogue):
    """A different gradient trains to a different model, though every forward value agrees."""
    questions, answers = dialogue
    found = gradients(
        lambda image, field: keras.ops.sum(sample(image, field) * questions["other"]),
        questions["image"],
        questions["field"],
    )
    for name, gradient in zip(("volume", "displacement"), found, strict=True):
        np.testing.assert_allclose(gradient, answers[f"gradient_{name}"], atol=1e-5)
