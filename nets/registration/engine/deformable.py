"""Deformable registration of pairs without a model, coarse to fine."""

import contextlib
import dataclasses
import functools
import math

import numpy as np
from keras import ops

from nets.ops.compiled import compiled, kernels_are_portable, one_graph, portable_kernels
from nets.ops.grid import coordinate
from nets.ops.integrate import integrate_velocity
from nets.ops.invert import invert_displacement
from nets.ops.sample import follow, linear_at, sample
from nets.registration.engine.forces import (
    SIMILARITIES,
    local_statistics,
    moved_statistics,
    mse_force,
    ncc_force,
    nmi_force,
)
from nets.registration.engine.method import Method
from nets.registration.engine.mind import mind
from nets.registration.engine.penalties import PENALTIES
from nets.registration.engine.transforms import STEPS, Displacement, Splines, Velocity

_per_size = functools.partial(compiled, any_size=False)

CHECKED_EVERY = 10  # iterations
STALLED = 1e-4  # of the similarity, over `CHECKED_EVERY` iterations
SMALLEST = 4  # voxels along an axis
WORTH_COMPILING = 1e7  # iterations times voxels


def register_pairs(moving, fixed, method=None, weights=None, start=None, report=None):
    """Displacements between pairs of images that overlap already.

    A level's field is updated by `u <- smooth(d + u o (id + d))`: d is the similarity's force, smoothed and scaled to
    the level's step. `u o (id + d)` takes the differences to the neighbours that d points to, so that a step of less
    than a voxel needs no sampling.

    Args:
        moving: Tensor `(batch, i, j[, k], 1)`, in [0, 1].
        fixed: Tensor of the same shape.
        method: `Method`; None for its defaults.
        weights: Tensor of the shape of `fixed`: how much each voxel counts; None for 1 everywhere.
        start: Displacement `(batch, i, j[, k], rank)` to begin with; None for 0.
        report: Function of a level's factor, its iterations so far and the similarities `(batch,)`, of the field
            before the last of them, called at the first iteration of each level, every 10th and the last.

    Returns:
        Float32 displacement `(batch, i, j[, k], rank)`, in voxels, pull-back.

    Raises:
        ValueError: If the shapes differ, an axis is shorter than 4 voxels, or a symmetric registration is to begin with
            a displacement.

    Reference:
        - Yushkevich et al., Fast automatic segmentation of hippocampal subfields and medial temporal lobe
          subregions in 3 Tesla and 7 Tesla T2-weighted MRI, 2016 (the update); Avants et al., Symmetric
          diffeomorphic image registration with cross-correlation, 2008.
    """
    method = method or Method()
    field = _optimised(moving, fixed, method, weights, start, report)
    if method.transform == "velocity":
        field = integrate_velocity(field, STEPS)
    if method.symmetric:
        to_moving, to_fixed = ops.split(field, 2)
        field = follow(to_moving, invert_displacement(to_fixed)[0])
    return field


def velocities_of_pairs(moving, fixed, method=None, weights=None, report=None):
    """Stationary velocities between pairs of images: the integral is the displacement, that of minus them its inverse.

    Args:
        moving, fixed, weights, report: As of `register_pairs`.
        method: `Method` whose transform is "velocity", not symmetric; None for its defaults with that.

    Returns:
        Float32 velocity `(batch, i, j[, k], rank)`, in voxels, for `integrate_velocity(velocity, 5)`.

    Raises:
        ValueError: As `register_pairs`, or if the method has another transform.
    """
    method = method or Method(transform="velocity")
    if method.transform != "velocity" or method.symmetric:
        raise ValueError('Expected a method with transform="velocity" and symmetric=False.')
    return _optimised(moving, fixed, method, weights, None, report)


def _optimised(moving, fixed, method, weights, start, report):
    """The field, or velocity, of each pair; of a symmetric method two for each."""
    moving, fixed = ops.cast(moving, "float32"), ops.cast(fixed, "float32")
    _check(moving, fixed, method, start)
    size = tuple(fixed.shape[1:-1])
    weights = ops.ones_like(fixed) if weights is None else ops.cast(weights, "float32")
    images = (moving, fixed, weights)
    if method.symmetric:  # each of two fields leads one of the images to the middle
        images = [ops.concatenate(both) for both in ((moving, fixed), (fixed, moving), (weights, weights))]
    field, factor = ops.zeros((images[0].shape[0], len(size), *size)), 1
    if start is not None:
        field = _components_first(ops.cast(start, "float32"))
    for level in method.levels:
        if level.factor > 1 and min(size) // level.factor < SMALLEST:
            continue
        averaged = [_averaged(image, level.factor) for image in images]
        field = _on_level(field, factor, level.factor, tuple(averaged[1].shape[1:-1]))
        little = not method.repeated and level.iterations * math.prod(field.shape[2:]) < WORTH_COMPILING
        with portable_kernels() if little else contextlib.nullcontext():
            field, factor = _run_level(*averaged, field, level, method, report), level.factor
    return _components_last(_on_level(field, factor, 1, size))


def _check(moving, fixed, method, start):
    if tuple(moving.shape) != tuple(fixed.shape) or len(fixed.shape) not in (4, 5) or fixed.shape[-1] != 1:
        raise ValueError(
            "Expected moving and fixed images of one shape (batch, i, j[, k], 1). "
            f"Received: moving.shape={tuple(moving.shape)}, fixed.shape={tuple(fixed.shape)}"
        )
    if min(fixed.shape[1:-1]) < SMALLEST:
        raise ValueError(
            f"Expected {SMALLEST} voxels or more along each axis. Received: fixed.shape={tuple(fixed.shape)}"
        )
    if start is not None and (method.symmetric or method.transform == "velocity"):
        raise ValueError("Received a displacement to begin with, which symmetric methods and velocities do not take.")


def _run_level(moving, fixed, weights, field, level, method, report):
    fixed, weights = _components_first(fixed), _components_first(weights)
    if method.similarity == "mind":
        moving, fixed = _components_last(_mind(_components_first(moving))), _mind(fixed)
    statistics = _statistics(level.radius)(fixed) if method.similarity == "ncc" and not method.symmetric else ()
    shape = tuple(field.shape[2:])
    # One graph serves all levels elsewhere in the method, and all weights but none.
    kind = dataclasses.replace(method, levels=(), **{name: float(bool(getattr(method, name))) for name in PENALTIES})
    transform, step = _step(level, kind, shape, kernels_are_portable())
    penalties = ops.convert_to_tensor(method.penalties, "float32")
    state, before = transform.state(field), None
    for iteration in range(1, level.iterations + 1):
        state, value = step(state, moving, fixed, weights, penalties, *statistics)
        if iteration % CHECKED_EVERY and iteration not in (1, level.iterations):
            continue
        value = ops.convert_to_numpy(value)
        if report is not None:
            report(level.factor, iteration, value)
        if before is not None and np.all(value - before < STALLED * np.abs(before)):
            break
        before = value
    return transform.field(state)


@functools.cache
def _step(level, method, shape, portable):
    """The transform at a level, and one iteration as one graph of kernels: state and images to the new state.

    A graph keeps the kind of kernels that it was traced with, so that each kind has its own.
    """
    del portable
    length = np.array([level.step, SIMILARITIES[method.similarity]], "float32")
    if method.transform == "splines":
        transform = Splines(level, length, shape, method.spacing)
    else:
        transform = {"displacement": Displacement, "velocity": Velocity}[method.transform](level, length)

    def step(state, moving, fixed, weights, penalties, *statistics):
        moved = _warp(moving, transform.displacement(state))
        if method.symmetric:  # the target of each image is the other, where it is now
            fixed = ops.concatenate(ops.split(moved, 2)[::-1])
            statistics = _statistics(level.radius)(fixed) if method.similarity == "ncc" else ()
        if method.similarity == "ncc":
            means = _moved_statistics(level.radius)(moved, fixed)
            force, value = _ncc_force(moved, fixed, *statistics, means, weights)
        elif method.similarity == "nmi":
            force, value = nmi_force(moved, fixed, weights)
        else:
            force, value = _mse_force(moved, fixed, weights)
        state = transform.stepped(state, force)
        for place, (name, used) in enumerate(zip(PENALTIES, method.penalties, strict=True)):
            if used:
                state = _relaxations[name](state, penalties[place : place + 1])
        return state, value

    return transform, one_graph(step)


_relaxations = {name: _per_size(relax) for name, relax in PENALTIES.items()}


@functools.cache
def _statistics(radius):
    return _per_size(functools.partial(local_statistics, radius=radius))


@functools.cache
def _moved_statistics(radius):
    return _per_size(functools.partial(moved_statistics, radius=radius))


_ncc_force, _mse_force, _mind = _per_size(ncc_force), _per_size(mse_force), _per_size(mind)


@_per_size
def _warp(moving, field):
    """The moving image through the field, `(batch, channels, i, j[, k])`."""
    grid = ops.shape(field)[2:]
    positions = [field[:, axis] + coordinate(grid, axis) for axis in range(len(grid))]
    return _components_first(linear_at(moving, positions))


def _averaged(image, factor):
    if factor == 1:
        return image
    box = (factor,) * (len(image.shape) - 2)
    return ops.average_pool(image, box, box, padding="valid")


def _on_level(field, factor, new, shape):
    """A field in voxels of `factor` averaged voxels, on a grid of another factor, clamped at the edge."""
    if factor == new and tuple(field.shape[2:]) == shape:
        return field
    ratio, shift = new / factor, (new - factor) / (2.0 * factor)
    places = [(ratio - 1.0) * coordinate(shape, axis) + shift for axis in range(len(shape))]
    displacement = ops.stack([place + ops.zeros((field.shape[0], *shape)) for place in places], axis=-1)
    return _components_first(sample(_components_last(field), displacement)) / ratio


def _components_first(x):
    return ops.moveaxis(x, -1, 1)


def _components_last(x):
    return ops.moveaxis(x, 1, -1)
