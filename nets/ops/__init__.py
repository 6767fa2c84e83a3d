"""Pure functions on tensors: arrays are `(batch, i, j[, k], channels)`, displacements in voxels."""

from nets.ops.affine import affine_to_displacement, compose_affine, invert_affine, parameters_to_affine
from nets.ops.compose import compose
from nets.ops.integrate import integrate_velocity
from nets.ops.invert import invert_displacement
from nets.ops.jacobian import jacobian_determinant
from nets.ops.moments import soft_moments
from nets.ops.points import points_to_fixed, points_to_moving
from nets.ops.resize import resize, resize_field
from nets.ops.sample import sample, sample_at
from nets.ops.separable import box_sum

__all__ = [
    "affine_to_displacement",
    "box_sum",
    "compose",
    "compose_affine",
    "integrate_velocity",
    "invert_affine",
    "invert_displacement",
    "jacobian_determinant",
    "parameters_to_affine",
    "points_to_fixed",
    "points_to_moving",
    "resize",
    "resize_field",
    "sample",
    "sample_at",
    "soft_moments",
]
