"""Change of a field's resolution as a layer."""

import keras

from nets.ops.resize import resize_field


@keras.saving.register_keras_serializable(package="kerasmorph")
class ResizeField(keras.layers.Layer):
    """Resizes a displacement or velocity and scales its vectors alike.

    Args:
        factor: Positive number; 2 doubles the resolution.

    Call arguments:
        field: Field in voxels of its own grid.

    Input shape:
        `(batch, i, j[, k], 2 or 3)`.

    Output shape:
        `(batch, int(i * factor), ...)`.

    Example:

    >>> ResizeField(2)(displacement)

    Reference:
        - VoxelMorph's `RescaleTransform`.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.factor = factor

    def call(self, field):
        return resize_field(field, self.factor)

    def compute_output_shape(self, field_shape):
        spatial = [None if size is None else int(size * self.factor) for size in field_shape[1:-1]]
        return (field_shape[0], *spatial, field_shape[-1])

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
