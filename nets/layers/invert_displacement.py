"""Inverse of a displacement as a layer."""

import keras

from nets.ops.invert import invert_displacement


@keras.saving.register_keras_serializable(package="kerasmorph")
class InvertDisplacement(keras.layers.Layer):
    """The displacement that undoes another, by fixed-point iteration, and what is left.

    Args:
        iterations: Number of steps.

    Call arguments:
        displacement: Displacement in voxels.

    Input shape:
        `(batch, i, j[, k], 2 or 3)`.

    Output shape:
        The inverse, of the same shape, and the residual `(batch, i, j[, k])`, in voxels.

    Example:

    >>> inverse, residual = InvertDisplacement()(displacement)

    Reference:
        - Chen et al., A simple fixed-point approach to invert a deformation field, 2008.
    """

    def __init__(self, iterations=20, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.iterations = iterations

    def call(self, displacement):
        return invert_displacement(displacement, self.iterations)

    def compute_output_shape(self, displacement_shape):
        return displacement_shape, displacement_shape[:-1]

    def get_config(self):
        return {**super().get_config(), "iterations": self.iterations}
