"""Every layer as a SavedModel of unknown sizes, run where there is nothing but TensorFlow."""

import subprocess
import sys

import keras
import numpy as np

from nets.ops.compiled import portable_kernels
from tests.nets.test_transforms import layers, symbolic

CHILD = """
import sys
import numpy as np
import tensorflow as tf
folder = sys.argv[1]
answers, loaded = {}, tf.saved_model.load(folder + "/layers")
for path in tf.io.gfile.glob(folder + "/*.npz"):
    name = path.split("/")[-1][:-4]
    inputs = np.load(path)
    outputs = getattr(loaded, name)(*(tf.constant(inputs[key]) for key in sorted(inputs)))
    for index, output in enumerate(tf.nest.flatten(outputs)):
        answers[name + "/" + str(index)] = output.numpy()
assert not {"nets", "app"} & {module.split(".")[0] for module in sys.modules}, "more than TensorFlow"
np.savez(folder + "/answers", **answers)
"""


def serving(model):
    return lambda *x: model(list(x))


def test_exported_layers_answer_alike_with_tensorflow_alone(tmp_path):
    """An inference server has neither this code nor XLA, and images of any size."""
    cases, archive = layers(), keras.export.ExportArchive()
    with portable_kernels():
        for name, (layer, arguments) in cases.items():
            inputs = keras.tree.map_structure(symbolic, arguments)
            model = keras.Model(keras.tree.flatten(inputs), layer(*inputs))
            archive.track(model)
            specs = [keras.InputSpec(shape=item.shape, dtype="float32") for item in model.inputs]
            archive.add_endpoint(name, serving(model), specs)
            arrays = {f"{place:02d}": array for place, array in enumerate(keras.tree.flatten(arguments))}
            np.savez(tmp_path / f"{name}.npz", **arrays)
        archive.write_out(str(tmp_path / "layers"), verbose=False)
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = np.load(tmp_path / "answers.npz")
    for name, (layer, arguments) in cases.items():
        for index, expected in enumerate(keras.tree.flatten(layer(*arguments))):
            expected = keras.ops.convert_to_numpy(expected)
            np.testing.assert_allclose(answers[f"{name}/{index}"], expected, atol=1e-6, err_msg=name)
