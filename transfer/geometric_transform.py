"""A pose, predicted from the image: applied to it, and undone on what the network makes of it."""

import math

import keras
import numpy as np
from keras import layers, ops

from nets.ops.affine import affine_to_displacement, invert_affine, parameters_to_affine
from nets.ops.moments import soft_moments
from nets.ops.sample import sample

FLOOR = 0.1  # what varies less is not blown up: the convolutions' next steps would shake everything


@keras.saving.register_keras_serializable(package="kerasmorph")
class GeometricTransform(keras.layers.Layer):
    """Three translations, rotations and scales, predicted from a volume and applied to it.

    Three convolutions; where each of their maps lies, how far it spreads and how it slants (standardised, see
    `standardise`); a dense layer that begins at zero, so that an untrained layer returns its input, bit for bit.
    In these terms a pose is nearly linear: a hidden layer learned known poses half as well. The thesis' predictor
    ends in a convolution, which cannot separate its nine parameters.

    Args:
        filters: Of the three convolutions.
        most_translation: Largest translation, as a share of the volume.
        most_degrees: Largest angle; a quarter turn, since nobody knows how else the other population was scanned.
        most_scale: Largest factor along an axis, and one over the smallest.

    Call arguments:
        image: Volume.
        gate: Tensor `(batch, 1)` or None: 0 leaves a volume alone, 1 moves it all the way.

    Input shape:
        `(batch, i, j, k, channels)`, 8 voxels an axis or more.

    Output shape:
        The moved volume, 0 where nothing is known; the transform `(batch, 3, 4)` in voxels, pull-back, about the
        centre.

    Example:

    >>> moved, matrix = GeometricTransform()(image)
    >>> logits = UndoTransform()(network(moved), matrix)

    Reference:
        - Bertrand, thesis, 2019, section 3.4.1.
    """

    def __init__(self, filters=(4, 4, 8), most_translation=0.25, most_degrees=90.0, most_scale=2.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.filters = tuple(filters)
        self.most_translation, self.most_degrees, self.most_scale = most_translation, most_degrees, most_scale
        self.convolutions = [
            layers.Conv3D(
                count,
                3,
                strides=2 if number < 2 else 1,
                padding="same",
                activation="relu",
                dtype="float32",
                name=f"convolution_{number}",
            )
            for number, count in enumerate(self.filters)
        ]
        self.last = layers.Dense(9, kernel_initializer="zeros", dtype="float32", name="last")

    def build(self, image_shape):
        shape = image_shape
        for layer in self.convolutions:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        count = 10 * sum(self.filters)
        self.middle = self.add_weight(name="middle", shape=(count,), initializer="zeros", trainable=False)
        self.spread = self.add_weight(name="spread", shape=(count,), initializer="ones", trainable=False)
        self.last.build((None, count))

    def standardise(self, volumes):
        """Before training: bring what the dense layer sees to mean 0 and deviation 1 over some volumes.

        Without it rotations and scales are not learned: they differ by a hundredth of what positions do.

        Args:
            volumes: Iterable of `(batch, i, j, k, channels)`.
        """
        seen = np.concatenate([ops.convert_to_numpy(self._seen(volume)) for volume in volumes])
        self.middle.assign(seen.mean(axis=0))
        self.spread.assign(np.maximum(seen.std(axis=0), FLOOR))

    def _seen(self, image):
        x, found = ops.cast(image, "float32"), []
        for layer in self.convolutions:
            x = layer(x)
            found.append(_moments(x))
        return ops.concatenate(found, axis=-1)

    def parameters(self, image):
        """The nine parameters.

        Args:
            image: `(batch, i, j, k, channels)`.

        Returns:
            `(batch, 9)`: translations in voxels, angles in degrees, scales. Angles are in the order of
            `nets.ops.affine.parameters_to_affine`, not in that of the thesis' eq. 4.8.
        """
        seen = ops.clip((self._seen(image) - self.middle) / self.spread, -5.0, 5.0)
        # Else a step of Adam, the same for every weight, moves the pose by as much as there are weights, to its bounds.
        shares = ops.tanh(self.last(seen / math.sqrt(seen.shape[-1])))
        size = ops.stack([ops.cast(count, "float32") for count in ops.shape(image)[1:4]])
        return ops.concatenate(
            [
                shares[:, :3] * self.most_translation * size,
                shares[:, 3:6] * self.most_degrees,
                ops.exp(shares[:, 6:] * math.log(self.most_scale)),
            ],
            axis=-1,
        )

    def start_at(self, shares):
        """Begin with a pose that is the same for all volumes, see `transfer.start_pose`.

        Args:
            shares: Of the bounds, `(9,)`, in (-1, 1).
        """
        self.last.bias.assign(np.arctanh(shares))

    def call(self, image, gate=None):
        parameters = self.parameters(image)
        if gate is not None:
            identity = ops.convert_to_tensor([[0.0] * 6 + [1.0] * 3], dtype="float32")
            parameters = identity + gate * (parameters - identity)
        matrix = parameters_to_affine(parameters)
        return sample(image, affine_to_displacement(matrix, ops.shape(image)[1:4]), fill_value=0.0), matrix

    def compute_output_shape(self, image_shape, gate_shape=None):
        return image_shape, (image_shape[0], 3, 4)

    def get_config(self):
        return {
            **super().get_config(), "filters": list(self.filters),
            "most_translation": self.most_translation, "most_degrees": self.most_degrees,
            "most_scale": self.most_scale,
        }  # fmt: skip


def _moments(x):
    """How strong each map is, where it lies, how far it spreads, and how it slants: ten numbers a map.

    In shares of half the volume.
    """
    mass, centre, covariance = soft_moments(x)
    half = [ops.cast(count, "float32") / 2.0 for count in ops.shape(x)[1:4]]
    middles = [centre[..., axis] / half[axis] for axis in range(3)]
    spreads = [ops.sqrt(covariance[..., axis, axis] / half[axis] ** 2 + 1e-4) for axis in range(3)]
    slants = [
        covariance[..., first, second] / (half[first] * half[second]) / (spreads[first] * spreads[second])
        for first, second in ((0, 1), (0, 2), (1, 2))
    ]
    return ops.concatenate([ops.log(mass + 1e-3), *middles, *(ops.log(spread) for spread in spreads), *slants], axis=-1)


@keras.saving.register_keras_serializable(package="kerasmorph")
class UndoTransform(keras.layers.Layer):
    """The exact inverse of a transform, applied to logits.

    Args:
        fill_value: Logit where the transform led out of the volume: background.

    Call arguments:
        logits: Volume.
        matrix: Transform, as `GeometricTransform` returns it.

    Input shape:
        `(batch, i, j, k, channels)` and `(batch, 3, 4)`.

    Output shape:
        As the logits.

    Reference:
        - Bertrand, thesis, 2019, section 3.4.1, figure 3.6.
    """

    def __init__(self, fill_value=-10.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.fill_value = fill_value

    def call(self, logits, matrix):
        field = affine_to_displacement(invert_affine(matrix), ops.shape(logits)[1:4])
        return sample(logits, field, fill_value=self.fill_value)

    def compute_output_shape(self, logits_shape, matrix_shape):
        return logits_shape

    def get_config(self):
        return {**super().get_config(), "fill_value": self.fill_value}
