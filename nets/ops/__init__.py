"""Pure functions on tensors: arrays are `(batch, i, j[, k], channels)`, displacements in voxels."""

from nets.ops.affine import affine_to_displacement
from nets.ops.compose import compose
from nets.ops.integrate import integrate_velocity
from nets.ops.jacobian import jacobian_determinant
from nets.ops.resize import resize, resize_field
from nets.ops.sample import sample
from nets.ops.separable import box_sum

__all__ = [
    "affine_to_displacement",
    "box_sum",
    "compose",
    "integrate_velocity",
    "jacobian_determinant",
    "resize",
    "resize_field",
    "sample",
]
