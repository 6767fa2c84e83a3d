"""Run in a process of its own: the original package writes small model files and answers for them.

JOBS.json FOLDER: jobs are [name, class, options, first seed to try]. For each: `name.h5`, `name.npz` (a pair),
`name_answers.npz` (outputs) and `name_gradients.npz` (of a weighted sum of the moved image).
"""

import json
import sys
from pathlib import Path

from app.export import official_answers  # isort: skip - before TensorFlow: it asks for the legacy Keras

import neurite as ne
import numpy as np
import tensorflow as tf
import voxelmorph as vxm

ne.layers.SampleNormalLogVar.call = lambda self, inputs: inputs[0]  # without the noise


def make(name, class_name, options, first_seed, folder):
    """A model file, a pair, and the answers at a place where the gradient does not jump."""
    for seed in range(first_seed, first_seed + 50):
        tf.keras.utils.set_random_seed(seed)
        model, images = _seeded(class_name, options, np.random.default_rng(seed))
        gradients = _gradients(model, images)
        if not _near_a_kink(model, images, gradients):
            break
    else:
        raise RuntimeError(f"{name}: no seed without a kink")
    file, pair = folder / f"{name}.h5", folder / f"{name}.npz"
    np.savez(pair, **images)
    np.savez(folder / f"{name}_gradients.npz", **gradients)
    model.save(file)
    sys.argv[1:] = [str(file), class_name, str(pair), str(folder / f"{name}_answers.npz")]
    official_answers.main()


def _seeded(class_name, options, rng):
    model = getattr(vxm.networks, class_name)(**options)
    for weight in model.weights:
        # As large as a trained model's: the initial velocity, 1e-5 voxels, would hide every mistake.
        size = 0.5 / np.sqrt(max(np.prod(weight.shape[:-1]), 1))
        weight.assign(weight + size * rng.normal(size=weight.shape))
    shape = options["inshape"]
    images = {key: rng.random((1, *shape, 1)).astype("float32") for key in ("moving", "fixed", "weights")}
    images["weights"] *= rng.random(images["weights"].shape) < 0.02  # few voxels stand near few kinks
    if class_name == "HyperVxmDense":
        images["hyper"] = np.full((1, options.get("nb_hyp_params", 1)), 0.3, "float32")
    flow = next(layer for layer in model.layers if layer.name.endswith("_flow"))
    largest = float(np.abs(_part(model, flow.output)(_inputs(images))).max())
    flow.set_weights([2.0 / largest * array for array in flow.get_weights()])  # voxels, as between real images
    return model, images


def _references(model):
    return getattr(model.references, "vxm_model", model).references


def _part(model, output):
    references = _references(model)
    hyper = [] if references.hyp_input is None else [references.hyp_input]
    return tf.keras.Model([references.source, references.target, *hyper], output)


def _inputs(images):
    return [images[key] for key in ("moving", "fixed", "hyper") if key in images]


def _gradients(model, images):
    moved = _part(model, _references(model).y_source)
    with tf.GradientTape() as tape:
        output = moved(_inputs(images))
        total = tf.reduce_sum(output * images["weights"][tuple(slice(0, n) for n in output.shape)])
    found = zip(moved.weights, tape.gradient(total, moved.weights), strict=True)
    return {weight.name.split(":")[0]: gradient.numpy() for weight, gradient in found if gradient is not None}


def _near_a_kink(model, images, gradients):
    """Whether rounding decides the gradient.

    It jumps where a displaced voxel crosses a grid point and where a rectifier's input crosses zero;
    two right implementations may stand on either side.
    """
    rng = np.random.default_rng(0)
    for _ in range(3):
        moved = {key: images[key] + 3e-6 * rng.choice([-1, 1], images[key].shape) for key in ("moving", "fixed")}
        nearby = _gradients(model, images | {key: array.astype("float32") for key, array in moved.items()})
        for key, gradient in gradients.items():
            if np.abs(nearby[key] - gradient).max() > 3e-5 * max(np.abs(gradient).max(), 0.1):
                return True
    return False


if __name__ == "__main__":
    jobs, where = json.loads(sys.argv[1]), Path(sys.argv[2])
    for job in jobs:
        make(*job, where)
