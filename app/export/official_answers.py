"""Run in a process of its own: VoxelMorph 0.2 loads its file and answers for a pair of images.

MODEL.h5 CLASS PAIR.npz ANSWERS.npz. The pair holds `moving`, `fixed` and, for a hypernetwork,
`hyper`. Where the original draws its velocity from a distribution the noise is left out.
"""

import inspect
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# neurite 0.2 calls what Python 3.11 removed.
inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]

import neurite as ne  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import voxelmorph as vxm  # noqa: E402


def main():
    """Write `moved`, `displacement`, `velocity` and what else the model has."""
    model_file, class_name, pair_file, answers_file = sys.argv[1:]
    ne.layers.SampleNormalLogVar.call = lambda self, inputs: inputs[0]
    model = getattr(vxm.networks, class_name).load(model_file)
    references = getattr(model.references, "vxm_model", model).references
    wanted = {
        "moved": references.y_source,
        "displacement": references.pos_flow,
        "velocity": references.preint_flow,
        "moved_fixed": references.y_target,
        "inverse_displacement": references.neg_flow,
    }
    wanted = {name: tensor for name, tensor in wanted.items() if tensor is not None}
    log_variance = [layer.output for layer in model.layers if layer.name.endswith("_log_sigma")]
    if log_variance:
        wanted["log_variance"] = log_variance[0]
    data = np.load(pair_file)
    inputs = [references.source, references.target]
    arrays = [data["moving"], data["fixed"]]
    if references.hyp_input is not None:
        inputs.append(references.hyp_input)
        arrays.append(data["hyper"])
    answers = tf.keras.Model(inputs, list(wanted.values()))(arrays, training=False)
    np.savez(answers_file, **{name: value.numpy() for name, value in zip(wanted, answers, strict=True)})


if __name__ == "__main__":
    main()
