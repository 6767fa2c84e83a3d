"""Convolutions whose weights depend on hyper-parameters: three generators, one interface.

Each takes the feature map (or, in a decoder, a list of coarse features and those beside which
they are upsampled) and the hypernetwork's features `(batch, units)`, one row per sample. All begin
as the same He-initialised convolution, whatever the hyper-parameters, and learn how to depart
from it; VoxelMorph's generator begins with kernels several times too small, and starts slowly
for it.
"""

import math

import keras
from keras import ops

from nets.ops.upsampled_conv import conv_upsampled


class _HyperConv(keras.layers.Layer):
    """What the three generators share: the base kernel and bias, and the shapes."""

    def __init__(self, filters, kernel_size=3, kernel_initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, x_shape, hyper_shape):
        shapes = x_shape if isinstance(x_shape, list) else [x_shape]
        channels = sum(shape[-1] for shape in shapes)
        self.kernel_shape = (*([self.kernel_size] * (len(shapes[0]) - 2)), channels, self.filters)
        self.kernel = self.add_weight(name="kernel", shape=self.kernel_shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self.build_generator(hyper_shape[-1])

    def convolve(self, x, kernel):
        return conv_upsampled(*x, kernel) if isinstance(x, list) else ops.conv(x, kernel, padding="same")

    def per_channel(self, values):
        return ops.reshape(values, [-1] + [1] * (len(self.kernel_shape) - 2) + [self.filters])

    def compute_output_shape(self, x_shape, hyper_shape):
        finest = x_shape[-1] if isinstance(x_shape, list) else x_shape
        return (*finest[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="kerasmorph")
class HyperConvPerChannel(_HyperConv):
    """Convolution with a scale and a shift of each output channel from the hypernetwork.

    `y = (1 + h S) * conv(x, K) + b + h T`. Costs one plain convolution for any batch of
    hyper-parameters; the hypernetwork's share is `2 * units * filters` weights.

    Args:
        filters: Output channels.
        kernel_size: Width of the kernel along every axis.
        kernel_initializer: Initialiser of the base kernel K.

    Call arguments:
        x: Feature map.
        hyper: Features of the hypernetwork.

    Input shape:
        `(batch, i, j[, k], channels)` and `(batch, units)`.

    Output shape:
        `(batch, i, j[, k], filters)`.

    Example:

    >>> HyperConvPerChannel(16)(x, hyper)

    Reference:
        - Perez et al., FiLM, 2018; the HyperMorph paper, section 3.1, for the setting.
    """

    def build_generator(self, units):
        self.scale = self.add_weight(name="scale", shape=(units, self.filters), initializer="zeros")
        self.shift = self.add_weight(name="shift", shape=(units, self.filters), initializer="zeros")

    def call(self, x, hyper):
        scale = self.per_channel(1.0 + ops.matmul(hyper, self.scale))
        shift = self.per_channel(self.bias + ops.matmul(hyper, self.shift))
        return self.convolve(x, self.kernel) * scale + shift


class _GeneratedKernel(_HyperConv):
    """A kernel of its own for each sample."""

    def call(self, x, hyper):
        kernels = ops.reshape(self.generate(hyper), (-1, *self.kernel_shape))
        biases = self.bias + ops.matmul(hyper, self.shift)
        if keras.tree.flatten(x)[0].shape[0] == 1:
            y = self.convolve(x, kernels[0])
        else:
            y = ops.map(self._convolve_sample, (x, kernels))
        return y + self.per_channel(biases)

    def _convolve_sample(self, pair):
        x, kernel = pair
        return self.convolve(keras.tree.map_structure(lambda tensor: tensor[None], x), kernel)[0]

    def add_shift(self, units):
        self.shift = self.add_weight(name="shift", shape=(units, self.filters), initializer="zeros")


@keras.saving.register_keras_serializable(package="kerasmorph")
class HyperConvFull(_GeneratedKernel):
    """Convolution whose whole kernel and bias come from the hypernetwork: the paper's.

    `kernel = K + h W`, `units * kernel size` weights: the largest of the three.

    Args:
        filters: Output channels.
        kernel_size: Width of the kernel along every axis.
        kernel_initializer: Initialiser of the base kernel K.

    Call arguments:
        x: Feature map.
        hyper: Features of the hypernetwork.

    Input shape:
        `(batch, i, j[, k], channels)` and `(batch, units)`.

    Output shape:
        `(batch, i, j[, k], filters)`.

    Example:

    >>> HyperConvFull(16)(x, hyper)

    Reference:
        - Hoopes et al., HyperMorph, 2021, section 3.3.
    """

    def build_generator(self, units):
        self.add_shift(units)
        shape = (units, math.prod(self.kernel_shape))
        self.projection = self.add_weight(name="projection", shape=shape, initializer="zeros")

    def generate(self, hyper):
        return ops.reshape(self.kernel, (1, -1)) + ops.matmul(hyper, self.projection)


@keras.saving.register_keras_serializable(package="kerasmorph")
class HyperConvLowRank(_GeneratedKernel):
    """Convolution whose kernel is a base and a few others, mixed by the hypernetwork.

    `kernel = K + sum_r (h A)_r K_r`: between the other two in size.

    Args:
        filters: Output channels.
        kernel_size: Width of the kernel along every axis.
        rank: Number of kernels mixed in.
        kernel_initializer: Initialiser of K and of every K_r.

    Call arguments:
        x: Feature map.
        hyper: Features of the hypernetwork.

    Input shape:
        `(batch, i, j[, k], channels)` and `(batch, units)`.

    Output shape:
        `(batch, i, j[, k], filters)`.

    Example:

    >>> HyperConvLowRank(16)(x, hyper)

    Reference:
        - Hoopes et al., HyperMorph, 2021, section 3.3, with the projection factorised.
    """

    def __init__(self, filters, kernel_size=3, rank=4, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.rank = rank

    def build_generator(self, units):
        self.add_shift(units)
        self.mixing = self.add_weight(name="mixing", shape=(units, self.rank), initializer="zeros")
        # Drawn like K, at K's scale; `mixing` begins at zero, so that K alone acts at first.
        self.directions = self.add_weight(
            name="directions", shape=(self.rank, *self.kernel_shape), initializer=self.kernel_initializer
        )

    def generate(self, hyper):
        directions = ops.reshape(self.directions, (self.rank, -1))
        mixture = ops.matmul(ops.matmul(hyper, self.mixing), directions)
        return ops.reshape(self.kernel, (1, -1)) + mixture

    def get_config(self):
        return {**super().get_config(), "rank": self.rank}


GENERATORS = {"per_channel": HyperConvPerChannel, "low_rank": HyperConvLowRank, "full": HyperConvFull}
