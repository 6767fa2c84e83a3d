"""Pose of a soft shape from its moments, and as a network predicts it."""

import math

import keras
import numpy as np
from keras import layers, ops

from nets.ops.moments import soft_moments
from segmentation.align import WAYS, moments

STRETCH = 4.0  # a stretch by a factor of e counts as a turn of two radians


def nearly_mask(evidence):
    """All structures of a network's own segmentation together, where they are decided; elsewhere nothing.

    A thin veil all over the volume would outweigh the shape.

    Args:
        evidence: Logits `(batch, i, j, k, structures)`.

    Returns:
        `(batch, i, j, k, 1)`, in [0, 1).
    """
    return ops.relu(ops.tanh(2.0 * ops.cast(ops.max(evidence, axis=-1, keepdims=True), "float32")))


def enough_seen(mass, volume):
    """How far what is seen may lead a template: not at all where next to nothing is seen, whose axes are arbitrary.

    Args:
        mass: `(batch,)`, of `nearly_mask`.
        volume: The template's.

    Returns:
        `(batch,)`: 0 where nothing is seen, 1 from a twentieth of the template on.
    """
    return ops.clip(mass / (0.05 * volume), 0.0, 1.0)


def template_axes(mask):
    """What `principal_pose` needs of a template.

    Args:
        mask: `(i, j, k)`, bool or the share of each voxel that lies inside.

    Returns:
        `(3, 3)`, its principal axes in the columns, the longest last; `(3,)`, its variances along the axes of the grid,
        in voxels squared.
    """
    _, covariance = moments(mask)
    return np.linalg.eigh(covariance)[1], np.diag(covariance)


def principal_pose(centre, covariance, axes, variances):
    """The pose that lays a template's principal axes on a shape's.

    Of the 24 ways to do so the one that turns and stretches least: where two axes of a shape are about as long, which
    of them is the longer is chance. Scales compare the spreads along the template's own axes.

    Args:
        centre: `(batch, 3)`, of the shape.
        covariance: `(batch, 3, 3)`, of the shape.
        axes: `(3, 3)`, the template's principal axes in its columns.
        variances: `(3,)`, the template's along the axes of the grid.

    Returns:
        `(batch, 9)`: translations in voxels, angles in degrees (`nets.ops.affine.parameters_to_affine`), logarithms of
        the scales. From the template to the shape.
    """
    centre, covariance, axes, variances = map(ops.convert_to_tensor, (centre, covariance, axes, variances))
    # No two spreads are quite alike: where they are, axes would be arbitrary and jump.
    own = ops.linalg.eigh(covariance + ops.diag(ops.convert_to_tensor([1e-3, 2e-3, 3e-3])))[1]
    own = own * (ops.sign(ops.linalg.det(own)) * ops.sign(ops.linalg.det(axes)))[:, None, None]
    rotations = ops.einsum("bij,wjk,lk->bwil", own, ops.convert_to_tensor(WAYS), axes)
    along = ops.einsum("bwik,bij,bwjk->bwk", rotations, covariance, rotations)
    scales = 0.5 * ops.log((along + 0.05) / (variances + 0.05))
    turns = ops.arccos(ops.clip(0.5 * (ops.trace(rotations, axis1=2, axis2=3) - 1.0), -1.0, 1.0))
    least = ops.argmin(turns**2 + STRETCH * ops.sum(scales**2, axis=-1), axis=1)
    chosen = ops.one_hot(least, len(WAYS), dtype="float32")
    rotation = ops.einsum("bw,bwij->bij", chosen, rotations)
    angles = ops.stack([
        ops.arctan2(-rotation[:, 1, 2], rotation[:, 2, 2]), ops.arcsin(ops.clip(rotation[:, 0, 2], -1.0, 1.0)),
        ops.arctan2(-rotation[:, 0, 1], rotation[:, 0, 0]),
    ], axis=-1)  # fmt: skip
    return ops.concatenate([centre, angles * (180.0 / math.pi), ops.einsum("bw,bwk->bk", chosen, scales)], axis=-1)


@keras.saving.register_keras_serializable(package="kerasmorph")
class PosePredictor(keras.layers.Layer):
    """Where a template lies in an image: translations, rotations and scales, each bounded; the identity at the start.

    The pose that the moments of the network's own soft segmentation give, and what three dense layers add, which see
    this pose and the mean and the deviation of the encoder's lowest maps. At the start nothing is seen, and the last
    layer is zero. The thesis' single convolution left all nine parameters correlated and the scales collapsed; gains
    that were learned for what is seen (tried) stayed near zero for rotations, as what is seen comes late in a training.

    Args:
        units: Of each hidden layer.
        most_translation: Largest translation, as a share of the volume.
        most_degrees: Largest angle.
        most_scale: Largest factor along an axis of the template, and one over the smallest.

    Call arguments:
        lowest: Maps of the lowest level.
        evidence: Logits of the network's own segmentation.

    Input shape:
        `(batch, i', j', k', channels)` and `(batch, i, j, k, structures)`.

    Output shape:
        `(batch, 9)`: translations in voxels, angles in degrees, scales: the template's pose in the image, the inverse
        of `G` (eq. 4.7). Angles are in the order of `nets.ops.affine.parameters_to_affine`, not in that of the
        thesis' eq. 4.8.

    Reference:
        - Bertrand, thesis, 2019, sections 4.4.1, 4.6 (the flaw) and 4.7 (the remedy); Atlas-ISTN, 2022 (bounds).
    """

    def __init__(self, units=32, most_translation=0.4, most_degrees=120.0, most_scale=2.5, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.units = units
        self.most_translation, self.most_degrees, self.most_scale = most_translation, most_degrees, most_scale
        self.first = layers.Dense(units, activation="tanh", dtype="float32", name="first")
        self.second = layers.Dense(units, activation="tanh", dtype="float32", name="second")
        self.last = layers.Dense(9, kernel_initializer="zeros", dtype="float32", name="last")

    def build(self, lowest_shape, evidence_shape):
        self.axes = self.add_weight(name="axes", shape=(3, 3), initializer="identity", trainable=False)
        self.variances = self.add_weight(name="variances", shape=(3,), initializer="ones", trainable=False)
        self.volume = self.add_weight(name="volume", shape=(), initializer="ones", trainable=False)
        self.first.build((None, 2 * lowest_shape[-1] + 10))
        self.second.build((None, self.units))
        self.last.build((None, self.units))

    def take_template(self, mask):
        """Know the template's axes, spreads and volume.

        Args:
            mask: `(i, j, k)`, bool or the share of each voxel that lies inside, its middle in the grid's.
        """
        axes, variances = template_axes(mask)
        self.axes.assign(axes)
        self.variances.assign(variances)
        self.volume.assign(float(np.sum(mask)))

    def call(self, lowest, evidence):
        mass, centre, covariance = (moment[:, 0] for moment in soft_moments(nearly_mask(ops.stop_gradient(evidence))))
        size = ops.stack([ops.cast(count, "float32") for count in ops.shape(evidence)[1:4]])
        most = math.log(self.most_scale)
        seen = principal_pose(centre, covariance, self.axes, self.variances)
        seen = ops.concatenate([
            seen[:, :3] / (self.most_translation * size), seen[:, 3:6] / self.most_degrees,
            seen[:, 6:] / most,
        ], axis=-1)  # fmt: skip
        seen = ops.stop_gradient(seen * enough_seen(mass, self.volume)[:, None])
        seen = ops.clip(seen, -0.98, 0.98)
        amount = ops.clip(ops.log((mass[:, None] + 1.0) / (self.volume + 1.0)), -3.0, 3.0)
        lowest = ops.cast(lowest, "float32")
        # The root of 0 has no slope: maps may be constant where all was dropped.
        context = [ops.mean(lowest, axis=(1, 2, 3)), ops.sqrt(ops.var(lowest, axis=(1, 2, 3)) + 1e-6)]
        hidden = self.second(self.first(ops.concatenate([*context, seen, amount], axis=-1)))
        raw = ops.tanh(self.last(hidden) + ops.arctanh(seen))
        return ops.concatenate(
            [
                raw[:, :3] * self.most_translation * size,
                raw[:, 3:6] * self.most_degrees,
                ops.exp(raw[:, 6:] * most),
            ],
            axis=-1,
        )

    def compute_output_shape(self, lowest_shape, evidence_shape):
        return lowest_shape[0], 9

    def get_config(self):
        return {
            **super().get_config(), "units": self.units, "most_translation": self.most_translation,
            "most_degrees": self.most_degrees, "most_scale": self.most_scale,
        }  # fmt: skip
