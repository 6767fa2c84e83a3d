"""What the field of a registration is made of: a displacement, a velocity, or the control points of splines.

Each has a state, `(batch, rank, ...)`, which is optimised, and gives the displacement of it. Fields are in voxels of
the level, components first.
"""

import functools
import math

import numpy as np
from keras import ops

from nets.ops.compiled import compiled
from nets.ops.integrate import integrate_velocity
from nets.ops.stencil import backward, forward, gaussian_taps, smooth

_per_size = functools.partial(compiled, any_size=False)


class Displacement:
    """Composition of small steps, as greedy has it: `u <- smooth(d + u o (id + d))`.

    Args:
        level: `Level`.
        length: Tensor of two numbers: the longest vector of a step, and the least force for it.
    """

    def __init__(self, level, length):
        self.smooth_update, self.smooth_total = _smoother(level.update_sigma), _smoother(level.total_sigma)
        self.length = length

    def state(self, field):
        """The state that a dense field of another level begins with."""
        return field

    def field(self, state):
        """The dense field that goes on to another level."""
        return state

    def displacement(self, state):
        """The displacement of a state."""
        return state

    def stepped(self, state, force):
        """The state after a step along a force."""
        return self.smooth_total(_composed(state, _scaled(self.smooth_update(force), self.length)))


class Velocity(Displacement):
    """Stationary velocity: `v <- smooth(v + d)`, the displacement its integral, the inverse that of `-v`.

    Reference:
        - Vercauteren et al., Symmetric log-domain diffeomorphic registration: a demons-based approach, MICCAI 2008.
    """

    def displacement(self, state):
        """See `Displacement.displacement`."""
        return ops.moveaxis(integrate_velocity(ops.moveaxis(state, 1, -1), STEPS), -1, 1)

    def stepped(self, state, force):
        """See `Displacement.stepped`."""
        return self.smooth_total(state + _scaled(self.smooth_update(force), self.length))


class Splines(Displacement):
    """Displacements of control points, cubic B-splines between them: free-form deformation, which may fold.

    Args:
        level: `Level`.
        length: As of `Displacement`.
        shape: Of the level.
        spacing: Of the control points, in voxels of the level.

    Reference:
        - Rueckert et al., Nonrigid registration using free-form deformations, 1999.
    """

    def __init__(self, level, length, shape, spacing):
        super().__init__(level, length)
        self.weights = [spline_weights(size, spacing) for size in shape]

    def state(self, field):
        """See `Displacement.state`: the least squares fit."""
        return _along([np.linalg.pinv(weights) for weights in self.weights], field)

    def field(self, state):
        """See `Displacement.field`."""
        return self.displacement(state)

    def displacement(self, state):
        """See `Displacement.displacement`."""
        return _along(self.weights, state)

    def stepped(self, state, force):
        """See `Displacement.stepped`: along the gradient in the control points, the step's dense vectors scaled."""
        gradient = _along([weights.T for weights in self.weights], force)
        longest = _longest(_along(self.weights, gradient))
        # The least force is one of a voxel: the control points' gradient sums over about `spacing^rank` voxels.
        mass = math.prod(float(weights.sum(axis=0).max()) for weights in self.weights)
        return state + gradient * (self.length[0] / ops.maximum(longest, self.length[1] * mass))


STEPS = 5  # squarings: velocities stay well below 2^5 times a cell
TRANSFORMS = ("displacement", "velocity", "splines")


def spline_weights(size, spacing):
    """Cubic B-splines of a row of control points, at voxels.

    Args:
        size: Voxels.
        spacing: Voxels between control points.

    Returns:
        Float32 array `(size, control points)`; the points reach one spacing beyond both ends, and rows sum to 1.
    """
    count = math.ceil((size - 1) / spacing) + 3
    away = np.abs(np.arange(size)[:, None] / spacing - (np.arange(count)[None] - 1))
    near, far = 2 / 3 - away**2 + away**3 / 2, np.maximum(2 - away, 0) ** 3 / 6
    return np.where(away < 1, near, far).astype("float32")


def _along(matrices, x):
    """A matrix along each spatial axis."""
    for axis, matrix in enumerate(matrices, start=2):
        x = ops.moveaxis(ops.tensordot(ops.moveaxis(x, axis, -1), ops.transpose(matrix), 1), -1, axis)
    return x


@functools.cache
def _smoother(sigma):
    return _per_size(functools.partial(smooth, taps=gaussian_taps(sigma)))


def _longest(field):
    axes = tuple(range(1, len(field.shape)))
    return ops.sqrt(ops.max(ops.sum(ops.square(field), axis=1, keepdims=True), axis=axes, keepdims=True))


@_per_size
def _scaled(update, length):
    """An update whose longest vector has the step's length, or less where the force is near its least."""
    return update * (length[0] / ops.maximum(_longest(update), length[1]))


@_per_size
def _composed(field, update):
    """`d + u o (id + d)`, d the update.

    Between a voxel and the neighbours that d points to u is read linearly along each axis, which for steps below a
    voxel is the sampled value but for terms of second order.
    """
    total = field + update
    for axis in range(len(field.shape) - 2):
        along = update[:, axis : axis + 1]
        total = total + ops.maximum(along, 0.0) * forward(field, axis + 2)
        total = total + ops.minimum(along, 0.0) * backward(field, axis + 2)
    return total
