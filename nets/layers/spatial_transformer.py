"""The warp as a layer."""

import keras

from nets.ops.sample import METHODS, sample


@keras.saving.register_keras_serializable(package="kerasmorph")
class SpatialTransformer(keras.layers.Layer):
    """Warps a volume by a displacement.

    `moved[p] = volume[p + displacement[p]]`, in float32 whatever the layer's policy; integers
    stay integers where the method is "nearest".

    Args:
        method: "linear" or "nearest".
        fill_value: Value outside of the volume; None repeats the edge.

    Call arguments:
        volume: Tensor to warp.
        displacement: Displacement in voxels, pull-back, ij order.

    Input shape:
        `(batch, i, j[, k], channels)` and `(batch, i', j'[, k'], 2 or 3)`.

    Output shape:
        `(batch, i', j'[, k'], channels)`.

    Raises:
        ValueError: If `method` is unknown or the ranks do not match.

    Example:

    >>> SpatialTransformer()(moving, displacement)

    Reference:
        - Jaderberg et al., 2015; VoxelMorph's `SpatialTransformer`.
    """

    def __init__(self, method="linear", fill_value=None, **kwargs):
        if method not in METHODS:
            raise ValueError(
                f"Received an invalid value for `method`, expected one of {METHODS}. Received: method={method}"
            )
        super().__init__(**{"dtype": "float32", **kwargs})
        self.method = method
        self.fill_value = fill_value

    def call(self, volume, displacement):
        return sample(volume, displacement, self.method, self.fill_value)

    def compute_output_shape(self, volume_shape, displacement_shape):
        return (*displacement_shape[:-1], volume_shape[-1])

    def get_config(self):
        return {**super().get_config(), "method": self.method, "fill_value": self.fill_value}
