"""What a pair of images says, voxel by voxel, about the displacement between them."""

import keras
from keras import ops

from nets.ops.grid import central_difference
from nets.ops.separable import box_sum


@keras.saving.register_keras_serializable(package="kerasmorph")
class RegistrationForces(keras.layers.Layer):
    """Locally normalised images, and the demons force between them.

    With `m`, `f` the images less their local mean, over twice their local deviation, and `s` the
    mean of their gradients: `force = 2 (f - m) s / (|s|^2 + (f - m)^2 + 0.001)`, twice the
    displacement in voxels that would make the images equal nearby, at most 1. A network that sees it
    need not learn to multiply differences with gradients, and bias fields are gone.

    Args:
        window: Width of the box of local mean and deviation, in voxels.
        noise: Deviation of intensities that counts as flat.

    Call arguments:
        moving: Moving image, intensities in [0, 1].
        fixed: Fixed image.

    Input shape:
        Two tensors `(batch, i, j[, k], 1)`.

    Output shape:
        `(batch, i, j[, k], 2 + rank)`: moving, fixed, force.

    Example:

    >>> RegistrationForces()(moving, fixed)

    Reference:
        - Thirion, 1998; Vercauteren et al., 2009, for the symmetric force.
    """

    def __init__(self, window=9, noise=0.03, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.window = window
        self.noise = noise

    def call(self, moving, fixed):
        rank = len(moving.shape) - 2
        moving, fixed = self._normalise(moving, rank), self._normalise(fixed, rank)
        difference = fixed - moving
        mean = 0.5 * (fixed + moving)
        slope = ops.concatenate([central_difference(mean, axis + 1) for axis in range(rank)], axis=-1)
        size = ops.sum(slope * slope, axis=-1, keepdims=True) + difference * difference
        force = difference * slope / (size + 1e-3)
        return ops.concatenate([moving, fixed, 2.0 * force], axis=-1)

    def _normalise(self, image, rank):
        count = float(self.window) ** rank
        mean = box_sum(image, self.window) / count
        variance = box_sum(image * image, self.window) / count - mean * mean
        return 0.5 * (image - mean) / ops.sqrt(ops.maximum(variance, 0.0) + self.noise**2)

    def compute_output_shape(self, moving_shape, fixed_shape):
        return (*fixed_shape[:-1], len(fixed_shape))

    def get_config(self):
        return {**super().get_config(), "window": self.window, "noise": self.noise}
