"""The small network from hyper-parameters to the features that generate weights."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasmorph")
class Hypernetwork(keras.layers.Layer):
    """Fully connected layers over hyper-parameters brought to [-1, 1].

    ReLU but for the last layer, which is tanh.

    Args:
        low: Lowest value of each hyper-parameter.
        high: Highest value of each.
        units: Width of every layer.
        depth: Number of layers.

    Call arguments:
        hyper: Values in the hyper-parameters' own units.

    Input shape:
        `(batch, number of hyper-parameters)`.

    Output shape:
        `(batch, units)`.

    Example:

    >>> Hypernetwork(low=[0.0], high=[1.0])([[0.3]])

    Reference:
        - Hoopes et al., HyperMorph, 2021, section 3.3: four layers of 64.
    """

    def __init__(self, low, high, units=64, depth=4, **kwargs):
        super().__init__(**kwargs)
        self.low = list(low)
        self.high = list(high)
        self.units = units
        self.depth = depth
        last = depth - 1
        self.dense = [
            keras.layers.Dense(units, activation="tanh" if index == last else "relu", name=f"dense_{index}")
            for index in range(depth)
        ]

    def build(self, hyper_shape):
        shape = hyper_shape
        for layer in self.dense:
            layer.build(shape)
            shape = (shape[0], self.units)

    def call(self, hyper):
        low = ops.convert_to_tensor(self.low, dtype=hyper.dtype)
        high = ops.convert_to_tensor(self.high, dtype=hyper.dtype)
        features = 2.0 * (hyper - low) / (high - low) - 1.0
        for layer in self.dense:
            features = layer(features)
        return features

    def compute_output_shape(self, hyper_shape):
        return (hyper_shape[0], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "low": self.low,
            "high": self.high,
            "units": self.units,
            "depth": self.depth,
        }
