"""Which population a volume is from, told by a frozen network's features; the source's data are not needed."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kerasmorph")
class PopulationGate(keras.layers.Layer):
    """1 for volumes that look like the target population, 0 for those that look like the source's.

    A linear discriminant, see `fit_gate`. It decides: a volume of the source is then segmented by the
    source's network, number for number.

    Call arguments:
        description: As `describe` gives it.

    Input shape:
        `(batch, n)`.

    Output shape:
        The gate, 0 or 1, `(batch, 1)`; and the probability of the target population, `(batch, 1)`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})

    def build(self, description_shape):
        self.kernel = self.add_weight(name="kernel", shape=(description_shape[-1], 1), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")

    def call(self, description):
        logit = ops.matmul(ops.cast(description, "float32"), self.kernel) + self.bias
        return ops.cast(logit > 0, "float32"), ops.sigmoid(logit)

    def compute_output_shape(self, description_shape):
        return (description_shape[0], 1), (description_shape[0], 1)


@keras.saving.register_keras_serializable(package="kerasmorph")
class Describe(keras.layers.Layer):
    """Mean and spread of feature maps, level by level.

    Call arguments:
        maps: List of feature maps.

    Input shape:
        List of `(batch, i, j[, k], channels)`.

    Output shape:
        `(batch, 2 * channels of all)`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, maps):
        found = []
        for one in maps:
            one = ops.cast(one, "float32")
            axes = tuple(range(1, len(one.shape) - 1))
            found += [ops.mean(one, axis=axes), ops.std(one, axis=axes)]
        return ops.concatenate(found, axis=-1)

    def compute_output_shape(self, maps_shape):
        return (maps_shape[0][0], 2 * sum(shape[-1] for shape in maps_shape))


def fit_gate(source_mean, source_covariance, source_count, target):
    """Linear discriminant between a population known by mean and covariance, and another known by examples.

    Formula: `w = S^-1 (m_target - m_source)`, `b = -w (m_target + m_source) / 2`, with the covariance of
    both, shrunk towards its diagonal by `n / (n + examples)`; the populations count alike.

    Args:
        source_mean: `(n,)`.
        source_covariance: `(n, n)`.
        source_count: How many volumes these were measured on.
        target: `(examples, n)`.

    Returns:
        Kernel `(n, 1)` and bias `(1,)`, float32.
    """
    mean = target.mean(axis=0)
    covariance = 0.5 * (source_covariance + np.cov(target.T, bias=True))
    share = len(mean) / (len(mean) + source_count + len(target))
    covariance = (1 - share) * covariance + share * np.diag(np.diag(covariance)) + 1e-8 * np.eye(len(mean))
    weights = np.linalg.solve(covariance, mean - source_mean)
    bias = -0.5 * weights @ (mean + source_mean)
    return weights[:, None].astype("float32"), np.array([bias], "float32")
