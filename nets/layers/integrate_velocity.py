"""Integration as a layer."""

import keras

from nets.ops.integrate import integrate_velocity


@keras.saving.register_keras_serializable(package="kerasmorph")
class IntegrateVelocity(keras.layers.Layer):
    """Turns a stationary velocity into a displacement by scaling and squaring.

    Args:
        steps: Number of squarings.

    Call arguments:
        velocity: Velocity in voxels of its own grid.

    Input shape:
        `(batch, i, j[, k], 2 or 3)`.

    Output shape:
        Same as the input.

    Example:

    >>> IntegrateVelocity(7)(velocity)

    Reference:
        - Arsigny et al., 2006; the HyperMorph paper, section 3.1.
    """

    def __init__(self, steps=7, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.steps = steps

    def call(self, velocity):
        return integrate_velocity(velocity, self.steps)

    def compute_output_shape(self, velocity_shape):
        return velocity_shape

    def get_config(self):
        return {**super().get_config(), "steps": self.steps}
