"""The original package, in a process of its own, answers the same seeded questions as ours."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from nets.losses import gradient_penalty, mse_loss, ncc_loss
from nets.ops import compose, integrate_velocity, resize_field, sample

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
    "smoothness": lambda q: gradient_penalty(q["field"]),
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


def test_gradients_equal_voxelmorphs(dialogue):
    """A different gradient trains to a different model, though every forward value agrees."""
    import tensorflow as tf

    questions, answers = dialogue
    image, field = tf.constant(questions["image"]), tf.constant(questions["field"])
    with tf.GradientTape() as tape:
        tape.watch([image, field])
        total = tf.reduce_sum(sample(image, field) * questions["other"])
    for name, gradient in zip(("volume", "displacement"), tape.gradient(total, [image, field]), strict=True):
        np.testing.assert_allclose(gradient, answers[f"gradient_{name}"], atol=1e-5)
