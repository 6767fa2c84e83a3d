"""Which population a volume is from, decided by a frozen network's features; the source's data are not needed."""

import keras
import numpy as np
from keras import ops

from nets.segmentation_unet import segmentation_logits


@keras.saving.register_keras_serializable(package="kerasmorph")
class PopulationGate(keras.layers.Layer):
    """1 for volumes that look like the target population, 0 for those that look like the source's.

    A linear discriminant, see `fit_gate`, of what a copy of the source network's encoder sees. It decides: a volume
    of the source is then segmented by the source's network, number for number. In training, where every volume is
    of the target, it is open and nothing is computed.

    Args:
        filters: Of the source network.
        batch_normalisation: Of the source network.

    Call arguments:
        image: Volume.
        training: Boolean.

    Input shape:
        `(batch, i, j, k, 1)`.

    Output shape:
        The gate, 0 or 1, `(batch, 1)`.
    """

    def __init__(self, filters, batch_normalisation=False, **kwargs):
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})
        self.filters, self.batch_normalisation = list(filters), batch_normalisation
        self.described = describing_network(filters, batch_normalisation)

    def build(self, image_shape):
        self.kernel = self.add_weight(name="kernel", shape=(2 * sum(self.filters), 1), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")

    def decide_by(self, kernel, bias):
        """Take over what `fit_gate` found.

        Args:
            kernel: `(n, 1)`.
            bias: `(1,)`.
        """
        self.kernel.assign(kernel)
        self.bias.assign(bias)

    def probability(self, image):
        """Of the target population.

        Args:
            image: `(batch, i, j, k, 1)`.

        Returns:
            `(batch, 1)`, in [0, 1].
        """
        return ops.sigmoid(ops.matmul(self.described(image), self.kernel) + self.bias)

    def call(self, image, training=False):
        if training:
            return ops.ones((ops.shape(image)[0], 1), dtype="float32")
        return ops.cast(self.probability(image) > 0.5, "float32")

    def compute_output_shape(self, image_shape):
        return image_shape[0], 1

    def get_config(self):
        return {
            **super().get_config(), "filters": self.filters, "batch_normalisation": self.batch_normalisation,
        }  # fmt: skip


def describing_network(filters, batch_normalisation=False):
    """A source network's description of a volume: mean and spread of its maps on the way down.

    Args:
        filters: Of the source network.
        batch_normalisation: Of the source network.

    Returns:
        Keras model from `(batch, i, j, k, 1)` to `(batch, 2 * sum(filters))`, frozen.
    """
    image = keras.Input((None, None, None, 1), name="image")
    lowest, maps = f"decoder_{len(filters) - 2}", []

    def noted(x, place):
        if place == lowest or (place.startswith("encoder") and not place.endswith("_pool")):
            maps.append(x)
        return x

    segmentation_logits(image, filters, batch_normalisation, noted)
    model = keras.Model(image, Describe()(maps))
    model.trainable = False
    return model


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
        for map_ in maps:
            map_ = ops.cast(map_, "float32")
            axes = tuple(range(1, len(map_.shape) - 1))
            found += [ops.mean(map_, axis=axes), ops.std(map_, axis=axes)]
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
