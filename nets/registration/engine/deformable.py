"""Deformable registration of pairs without a model, coarse to fine."""

import contextlib
import dataclasses
import functools
import math

import numpy as np
from keras import ops

from nets.ops.compiled import compiled, kernels_are_portable, one_graph, portable_kernels
from nets.ops.grid import coordinate
from nets.ops.invert import invert_displacement
from nets.ops.sample import follow, linear_at, sample
from nets.ops.stencil import backward, forward, gaussian_taps, smooth
from nets.registration.engine.forces import (
    SIMILARITIES,
    local_statistics,
    moved_statistics,
    mse_force,
    ncc_force,
)
from nets.registration.engine.mind import mind
from nets.registration.engine.penalties import PENALTIES

_per_size = functools.partial(compiled, any_size=False)

CHECKED_EVERY = 10  # iterations
STALLED = 1e-4  # of the similarity, over `CHECKED_EVERY` iterations
SMALLEST = 4  # voxels along an axis
WORTH_COMPILING = 1e7  # iterations times voxels


@dataclasses.dataclass(frozen=True)
class Level:
    """One resolution of a registration.

    Args:
        factor: How many voxels, along each axis, are averaged into one.
        iterations: At most.
        radius: Of the local correlation's box, in voxels of this level.
        update_sigma: Of the Gaussian that smooths an update, in voxels of this level.
        total_sigma: Of the one that smooths the whole field after each update.
        step: Length of an update's longest vector, in voxels of this level, below 1.
    """

    factor: int
    iterations: int
    radius: int = 2
    update_sigma: float = 0.8
    total_sigma: float = 0.5
    step: float = 0.7


PRESETS = {
    "fast": (Level(4, 40), Level(2, 20, step=1.0), Level(1, 4, 1, 1.0, 0.6, 1.0)),
    "default": (Level(4, 40), Level(2, 30), Level(1, 8, 1, total_sigma=0.45)),
    "accurate": (Level(4, 60, step=0.5), Level(2, 60, step=0.5), Level(1, 20, 1, total_sigma=0.45, step=0.5)),
}


def smoother(levels):
    """Levels for "mind", whose forces are rougher than those of "ncc"."""
    return tuple(dataclasses.replace(level, update_sigma=1.3, total_sigma=0.8) for level in levels)


@dataclasses.dataclass(frozen=True)
class Method:
    """How pairs are registered.

    Args:
        levels: Sequence of `Level`, coarse to fine.
        similarity: "ncc" (local, squared: contrasts may differ locally in gain, offset and sign), "mse", or "mind"
            (squared difference of descriptors: contrasts may differ in any way).
        symmetric: Whether both images are warped to the middle, so that exchanged images give the inverse. Twice the
            work.
        repeated: Whether images of this size follow. Where none do, a level of little work runs uncompiled:
            compilation takes 3 to 4 CPU seconds per level.
        gradient: Weight of the field's squared first derivatives, 0 to 1: the share of the largest stable step
            against them that follows each iteration.
        bending: The same of its squared second derivatives.
        elasticity: The same of linear elasticity, `|grad u + grad u^T|^2 / 4 + (div u)^2 / 2`.
    """

    levels: tuple = PRESETS["default"]
    similarity: str = "ncc"
    symmetric: bool = False
    repeated: bool = True
    gradient: float = 0.0
    bending: float = 0.0
    elasticity: float = 0.0

    def __post_init__(self):
        if self.similarity not in SIMILARITIES:
            raise ValueError(
                f"Received an invalid value for `similarity`, expected one of {tuple(SIMILARITIES)}. "
                f"Received: similarity={self.similarity}"
            )
        if not all(0.0 <= weight <= 1.0 for weight in self.penalties):
            raise ValueError(
                f"Expected weights of gradient, bending and elasticity from 0 to 1. Received: {self.penalties}"
            )

    @property
    def penalties(self):
        """Weights of gradient, bending and elasticity."""
        return self.gradient, self.bending, self.elasticity


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
    field = _components_last(_on_level(field, factor, 1, size))
    if method.symmetric:
        to_moving, to_fixed = ops.split(field, 2)
        field = follow(to_moving, invert_displacement(to_fixed)[0])
    return field


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
    if start is not None and method.symmetric:
        raise ValueError("Received a displacement to begin with and symmetric=True; give one of the two.")


def _run_level(moving, fixed, weights, field, level, method, report):
    fixed, weights = _components_first(fixed), _components_first(weights)
    if method.similarity == "mind":
        moving, fixed = _components_last(_mind(_components_first(moving))), _mind(fixed)
    statistics = _statistics(level.radius)(fixed) if method.similarity == "ncc" and not method.symmetric else ()
    step = _step(level, method, kernels_are_portable())
    length = ops.convert_to_tensor([level.step, SIMILARITIES[method.similarity]], "float32")
    before = None
    for iteration in range(1, level.iterations + 1):
        field, value = step(field, moving, fixed, weights, length, *statistics)
        if iteration % CHECKED_EVERY and iteration not in (1, level.iterations):
            continue
        value = ops.convert_to_numpy(value)
        if report is not None:
            report(level.factor, iteration, value)
        if before is not None and np.all(value - before < STALLED * np.abs(before)):
            break
        before = value
    return field


@functools.cache
def _step(level, method, portable):
    """One iteration at a level as one graph of kernels: field, images and step length to the new field.

    A graph keeps the kind of kernels that it was traced with, so that each kind has its own.
    """
    del portable
    smooth_update, smooth_total = _smoother(level.update_sigma), _smoother(level.total_sigma)

    def step(field, moving, fixed, weights, length, *statistics):
        moved = _warp(moving, field)
        if method.symmetric:  # the target of each image is the other, where it is now
            fixed = ops.concatenate(ops.split(moved, 2)[::-1])
            statistics = _statistics(level.radius)(fixed) if method.similarity == "ncc" else ()
        if method.similarity == "ncc":
            means = _moved_statistics(level.radius)(moved, fixed)
            force, value = _ncc_force(moved, fixed, *statistics, means, weights)
        else:
            force, value = _mse_force(moved, fixed, weights)
        field = smooth_total(_follow_step(field, smooth_update(force), length))
        for name, weight in zip(PENALTIES, method.penalties, strict=True):
            if weight:
                field = _relaxation(name, weight)(field)
        return field, value

    return one_graph(step)


@functools.cache
def _relaxation(name, weight):
    return _per_size(functools.partial(PENALTIES[name], weight=weight))


@functools.cache
def _smoother(sigma):
    return _per_size(functools.partial(smooth, taps=gaussian_taps(sigma)))


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


@_per_size
def _follow_step(field, update, length):
    """`d + u o (id + d)`, d the update scaled so that its longest vector has the level's length.

    `length` holds that and the least force for it, see `SIMILARITIES`.

    Between a voxel and the neighbours that d points to u is read linearly along each axis, which for steps below a
    voxel is the sampled value but for terms of second order.
    """
    rank = len(field.shape) - 2
    axes = tuple(range(1, rank + 2))
    longest = ops.sqrt(ops.max(ops.sum(ops.square(update), axis=1, keepdims=True), axis=axes, keepdims=True))
    update = update * (length[0] / ops.maximum(longest, length[1]))
    total = field + update
    for axis in range(rank):
        along = update[:, axis : axis + 1]
        total = total + ops.maximum(along, 0.0) * forward(field, axis + 2)
        total = total + ops.minimum(along, 0.0) * backward(field, axis + 2)
    return total


def _averaged(image, factor):
    return image if factor == 1 else ops.average_pool(image, factor, padding="valid")


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
