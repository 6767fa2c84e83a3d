"""Run by `test_voxelmorph.py` in a process of its own: voxelmorph 0.2's answers to questions in a file."""

import inspect
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# neurite 0.2 calls what Python 3.11 removed.
inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import voxelmorph as vxm  # noqa: E402

questions = dict(np.load(sys.argv[1]))
image, other, field, second = (tf.constant(questions[name]) for name in ("image", "other", "field", "second"))
with tf.GradientTape() as tape:
    tape.watch([image, field])
    moved = vxm.layers.SpatialTransformer()([image, field])
    total = tf.reduce_sum(moved * other)
gradients = tape.gradient(total, [image, field])
answers = {
    "linear": moved,
    "nearest": vxm.layers.SpatialTransformer(interp_method="nearest")([image, field]),
    "fill": vxm.layers.SpatialTransformer(fill_value=7.0)([image, field]),
    "gradient_volume": gradients[0],
    "gradient_displacement": gradients[1],
    "integrated": vxm.layers.VecInt(method="ss", int_steps=7)(field),
    "resized": vxm.layers.RescaleTransform(2)(field),
    "halved": vxm.layers.RescaleTransform(0.5)(field),
    "composed": vxm.layers.ComposeTransform()([field, second]),
    "ncc": vxm.losses.NCC().loss(image, other),
    "smoothness": vxm.losses.Grad("l2").loss(None, field),
    "mse": vxm.losses.MSE().loss(image, other),
}
np.savez(sys.argv[2], **{name: value.numpy() for name, value in answers.items()})
