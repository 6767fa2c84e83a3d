"""The decoder's convolution as a layer."""

import keras

from nets.ops.upsampled_conv import conv_upsampled


@keras.saving.register_keras_serializable(package="kerasmorph")
class ConvUpsampled(keras.layers.Layer):
    """3-wide convolution over coarse features, upsampled by 2, beside finer ones.

    The same weights and numbers as upsampling, concatenating and convolving, in less than half
    the work.

    Args:
        filters: Output channels.
        kernel_initializer: Initialiser of the kernel.

    Call arguments:
        coarse: Features at half the resolution.
        skip: Features at the full resolution.

    Input shape:
        `(batch, i / 2, j / 2[, k / 2], channels)` and `(batch, i, j[, k], other channels)`.

    Output shape:
        `(batch, i, j[, k], filters)`.

    Example:

    >>> ConvUpsampled(32)(below, skip)
    """

    def __init__(self, filters, kernel_initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, coarse_shape, skip_shape):
        width = (3,) * (len(skip_shape) - 2)
        shape = (*width, coarse_shape[-1] + skip_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, coarse, skip):
        return conv_upsampled(coarse, skip, self.kernel) + self.bias

    def compute_output_shape(self, coarse_shape, skip_shape):
        return (*skip_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
