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
matrix, other_matrix = questions["matrix"], questions["other_matrix"]
shape = image.shape[1:-1]
labels, other_labels = (tf.one_hot(questions[name], 4) for name in ("labels", "other_labels"))


def gradient_of(loss):
    with tf.GradientTape() as tape:
        tape.watch(image)
        value = tf.reduce_sum(loss(other, image))
    return tape.gradient(value, image)


def per_sample(function, *tensors):
    return tf.stack([function(*parts) for parts in zip(*tensors, strict=True)])


losses = {
    "ncc": vxm.losses.NCC().loss,
    "mse": vxm.losses.MSE().loss,
    "mi": vxm.losses.MutualInformation().loss,
}
answers = {
    **{f"{name}_gradient": gradient_of(loss) for name, loss in losses.items()},
    "mi": losses["mi"](image, other),
    "dice": vxm.losses.Dice().loss(labels, other_labels),
    "smoothness_l1": vxm.losses.Grad("l1").loss(None, field),
    "affine": per_sample(lambda m: vxm.utils.affine_to_dense_shift(m, shape), matrix),
    "affine_warped": vxm.layers.SpatialTransformer()([image, tf.constant(matrix)]),
    "inverse": per_sample(vxm.utils.invert_affine, matrix),
    "affine_composed": per_sample(lambda a, b: vxm.utils.compose([a, b]), matrix, other_matrix),
    "mixed_composed": per_sample(lambda a, b: vxm.utils.compose([a, b]), matrix, field),
    "parameters": vxm.utils.params_to_affine_matrix(questions["parameters"]),
    "rigid_parameters": vxm.utils.params_to_affine_matrix(questions["parameters"][:, :6]),
    "flat_parameters": vxm.utils.params_to_affine_matrix(questions["parameters"][:, :6], ndims=2),
    "points": vxm.utils.point_spatial_transformer([tf.constant(questions["points"]), field]),
    "multichannel": vxm.layers.SpatialTransformer()([labels, field]),
    "third": vxm.layers.RescaleTransform(0.3)(field),
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
