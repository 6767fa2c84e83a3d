"""A scale and a shift for each feature map, predicted from the maps."""

import keras
import numpy as np
from keras import layers, ops

FLOOR = 0.05  # of a map's mean: deviations below are not blown up


@keras.saving.register_keras_serializable(package="kerasmorph")
class IntensityTransform(keras.layers.Layer):
    """Feature maps, each scaled and shifted by what two dense layers make of all.

    Formula: `O(I_i) = K_i(I) I_i + b_i(I)`. The last layer begins at zero: K = 1 and b = 0, and an untrained layer
    returns its input, bit for bit.

    Args:
        units: Of the first dense layer.

    Call arguments:
        features: Feature maps.
        gate: Tensor `(batch, 1)` or None: 0 leaves a volume's maps alone.

    Input shape:
        `(batch, i, j[, k], channels)`.

    Output shape:
        As the input.

    Reference:
        - Bertrand, thesis, 2019, section 3.4.2; Perez et al., FiLM, 2018.
    """

    def __init__(self, units=4, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.units = units
        self.hidden = layers.Dense(units, activation="tanh", dtype="float32", name="hidden")

    def build(self, features_shape):
        channels = features_shape[-1]
        self.middle = self.add_weight(name="middle", shape=(2 * channels,), initializer="zeros", trainable=False)
        self.spread = self.add_weight(name="spread", shape=(2 * channels,), initializer="ones", trainable=False)
        self.hidden.build((None, 2 * channels))
        self.last = layers.Dense(2 * channels, kernel_initializer="zeros", dtype="float32", name="last")
        self.last.build((None, self.units))

    def standardise(self, seen):
        """Before training: bring what the dense layers see to mean 0 and deviation 1 over some volumes.

        Args:
            seen: What `seen` returns for them, `(volumes, 2 channels)`.
        """
        middle = seen.mean(axis=0)
        self.middle.assign(middle)
        # Of a volume or two the deviation is next to nothing, and whatever is augmented would be out of bounds.
        self.spread.assign(np.maximum(seen.std(axis=0), FLOOR * np.abs(middle)) + 1e-4)

    def seen(self, features):
        """Mean and deviation of each map.

        Args:
            features: `(batch, i, j[, k], channels)`.

        Returns:
            `(batch, 2 channels)`.
        """
        features = ops.cast(features, "float32")
        axes = tuple(range(1, len(features.shape) - 1))
        return ops.concatenate([ops.mean(features, axis=axes), ops.std(features, axis=axes)], axis=-1)

    def call(self, features, gate=None):
        features = ops.cast(features, "float32")
        axes = tuple(range(1, len(features.shape) - 1))
        seen = ops.clip((self.seen(features) - self.middle) / self.spread, -5.0, 5.0)
        changes = self.last(self.hidden(seen))
        if gate is not None:
            changes = gate * changes
        changes = ops.reshape(changes, [-1] + [1] * len(axes) + [2 * features.shape[-1]])
        scale, shift = ops.split(changes, 2, axis=-1)
        return features + scale * features + shift

    def compute_output_shape(self, features_shape, gate_shape=None):
        return features_shape

    def get_config(self):
        return {**super().get_config(), "units": self.units}
