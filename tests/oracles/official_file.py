"""Run in a process of its own: the original package writes small model files and answers for them.

JOBS.json FOLDER: jobs are [name, class, options]. For each: `name.h5`, `name.npz` (a pair),
`name_answers.npz` (outputs) and `name_gradients.npz` (of a weighted sum of the moved image).
"""

import json
import sys
from pathlib import Path

from app.export import official_answers  # isort: skip - before TensorFlow: it asks for the legacy Keras

import numpy as np
import tensorflow as tf
import voxelmorph as vxm


def make(name, class_name, options, folder):
    model = getattr(vxm.networks, class_name)(**options)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        # As large as a trained model's: the initial velocity, 1e-5 voxels, would hide every mistake.
        size = 0.5 / np.sqrt(max(np.prod(weight.shape[:-1]), 1))
        weight.assign(weight + size * rng.normal(size=weight.shape))
    file, pair = folder / f"{name}.h5", folder / f"{name}.npz"
    shape = options["inshape"]
    images = {key: rng.random((1, *shape, 1)).astype("float32") for key in ("moving", "fixed", "weights")}
    if class_name == "HyperVxmDense":
        images["hyper"] = np.full((1, options.get("nb_hyp_params", 1)), 0.3, "float32")
    np.savez(pair, **images)
    references = getattr(model.references, "vxm_model", model).references
    inputs = [references.source, references.target, *([references.hyp_input] if "hyper" in images else [])]
    arrays = [images[key] for key in ("moving", "fixed", "hyper") if key in images]
    flow = next(layer for layer in model.layers if layer.name.endswith("_flow"))
    largest = float(np.abs(tf.keras.Model(inputs, flow.output)(arrays)).max())
    flow.set_weights([2.0 / largest * array for array in flow.get_weights()])  # voxels, as between real images
    model.save(file)
    sys.argv[1:] = [str(file), class_name, str(pair), str(folder / f"{name}_answers.npz")]
    official_answers.main()
    moved = tf.keras.Model(inputs, references.y_source)
    with tf.GradientTape() as tape:
        output = moved(arrays)
        total = tf.reduce_sum(output * images["weights"][tuple(slice(0, n) for n in output.shape)])
    gradients = {
        weight.name.split(":")[0]: gradient.numpy()
        for weight, gradient in zip(moved.weights, tape.gradient(total, moved.weights), strict=True)
        if gradient is not None
    }
    np.savez(folder / f"{name}_gradients.npz", **gradients)


if __name__ == "__main__":
    jobs, where = json.loads(sys.argv[1]), Path(sys.argv[2])
    for job in jobs:
        make(*job, where)
