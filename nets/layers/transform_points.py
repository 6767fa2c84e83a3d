"""Landmarks through a displacement, as a layer."""

import keras

from nets.ops.points import points_to_fixed, points_to_moving

DIRECTIONS = ("to_moving", "to_fixed")


@keras.saving.register_keras_serializable(package="kerasmorph")
class TransformPoints(keras.layers.Layer):
    """Carries points through a pull-back displacement.

    "to_moving": where points of the fixed image lie in the moving one, `p + u(p)`. "to_fixed":
    where points of the moving image come to lie, by fixed-point iteration, with a residual.

    Args:
        direction: "to_moving" or "to_fixed".
        iterations: Steps of the iteration, for "to_fixed".

    Call arguments:
        points: Points in voxels.
        displacement: Displacement in voxels.

    Input shape:
        `(batch, n, 2 or 3)` and `(batch, i, j[, k], 2 or 3)`.

    Output shape:
        `(batch, n, 2 or 3)`; for "to_fixed" also the residual `(batch, n)`, in voxels.

    Raises:
        ValueError: If the direction is unknown or the ranks do not match.

    Example:

    >>> moved_landmarks, residual = TransformPoints("to_fixed")(landmarks, displacement)

    Reference:
        - VoxelMorph's `point_spatial_transformer`, which is "to_moving".
    """

    def __init__(self, direction="to_moving", iterations=50, **kwargs):
        if direction not in DIRECTIONS:
            raise ValueError(
                f"Received an invalid value for `direction`, expected one of {DIRECTIONS}. "
                f"Received: direction={direction}"
            )
        super().__init__(**{"dtype": "float32", **kwargs})
        self.direction = direction
        self.iterations = iterations

    def call(self, points, displacement):
        if self.direction == "to_moving":
            return points_to_moving(points, displacement)
        return points_to_fixed(points, displacement, self.iterations)

    def compute_output_shape(self, points_shape, displacement_shape):
        return points_shape if self.direction == "to_moving" else (points_shape, points_shape[:-1])

    def get_config(self):
        return {**super().get_config(), "direction": self.direction, "iterations": self.iterations}
