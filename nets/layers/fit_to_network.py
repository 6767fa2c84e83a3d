"""Any image size in, the same size out: padding to what a U-Net needs, and the crop back."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasmorph")
class PadToMultiple(keras.layers.Layer):
    """Extends each spatial axis, at its end, to the next multiple.

    The edge voxel is repeated. Sizes may be unknown when the model is built.

    Args:
        multiple: Positive integer; `2 ** levels` for a U-Net.

    Call arguments:
        x: Tensor to extend.

    Input shape:
        `(batch, i, j[, k], channels)`.

    Output shape:
        Each spatial size rounded up to the multiple.

    Example:

    >>> PadToMultiple(16)(image)
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def _padded(self, size):
        return (size + self.multiple - 1) // self.multiple * self.multiple

    def call(self, x):
        shape = ops.shape(x)
        for axis in range(1, len(shape) - 1):
            padded = self._padded(shape[axis])
            if isinstance(padded, int) and padded == shape[axis]:
                continue
            index = ops.minimum(ops.arange(padded), shape[axis] - 1)
            x = ops.take(x, ops.cast(index, "int32"), axis=axis)
        return x

    def compute_output_shape(self, x_shape):
        spatial = [None if size is None else self._padded(size) for size in x_shape[1:-1]]
        return (x_shape[0], *spatial, x_shape[-1])

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="kerasmorph")
class CropLike(keras.layers.Layer):
    """Cuts each spatial axis, at its end, to the size of another tensor.

    Call arguments:
        x: Tensor to cut.
        reference: Tensor whose spatial sizes are taken; none may exceed those of `x`.

    Input shape:
        Two tensors `(batch, i, j[, k], channels)`.

    Output shape:
        Spatial sizes of the reference, channels of `x`.

    Example:

    >>> CropLike()(padded_field, image)
    """

    def call(self, x, reference):
        sizes = ops.shape(reference)[1:-1]
        return x[(slice(None), *(slice(0, size) for size in sizes))]

    def compute_output_shape(self, x_shape, reference_shape):
        return (x_shape[0], *reference_shape[1:-1], x_shape[-1])
