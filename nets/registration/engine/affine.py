"""Affine registration of a pair whose placement may be unknown, without a model."""

import dataclasses

import numpy as np
from keras import ops

from nets.ops.compiled import portable_kernels
from nets.ops.stencil import gaussian_taps, smooth
from nets.registration.engine.correlation_ratio import CorrelationRatio
from nets.registration.engine.freedom import KINDS
from nets.registration.engine.starts import BY_HEADER, starting_transforms


@dataclasses.dataclass(frozen=True)
class Round:
    """A part of the search.

    Args:
        along: Samples along the fixed image's longest side.
        points: At most.
        bins: Of intensities.
        iterations: At most, for each transform.
        kept: How many transforms go on.
    """

    along: int
    points: int
    bins: int
    iterations: int
    kept: int


STARTED = 16  # of the rotations
ROUNDS = (Round(20, 2000, 16, 5, 5), Round(20, 2000, 16, 10, 3), Round(40, 5000, 24, 8, 1), Round(80, 12000, 24, 6, 1))
STALLED = 1e-5  # of the value, in an iteration
HEADER = 0.95  # a start elsewhere must end below this share of what the headers' placement ends at


@dataclasses.dataclass(frozen=True)
class Alignment:
    """What `align` returns.

    Args:
        matrix: `(rank + 1, rank + 1)`, from world of the fixed image to world of the moving one.
        start: "header" where the search began at the headers' placement, else "search".
        before: `1 - correlation ratio` at the headers' placement.
        after: At the end.
    """

    matrix: np.ndarray
    start: str
    before: float
    after: float


def align(moving, fixed, moving_to_world, fixed_to_world, kind="affine"):
    """The affine transform that lays one image on another.

    Starts: where the headers place them, the same with the centres of mass on each other, with the grids' centres on
    each other, and 600 rotations that cover all, with the centres of mass on each other and one scale by the
    spread about them. The best are improved by Levenberg-Marquardt steps at three resolutions, at the coarsest as a
    similarity, then as `kind`. At the two finer ones both images are predicted from each other, so that exchanged
    images give nearly the inverse.

    Args:
        moving: Array `(i, j[, k])`, in [0, 1], 0 the background.
        fixed: Array of the same rank, in [0, 1].
        moving_to_world: `(rank + 1, rank + 1)`, voxels to millimetres.
        fixed_to_world: The same of the fixed image.
        kind: "rigid", "similarity", "scaling" or "affine": 6, 7, 9 or 12 parameters, in 2D 3, 4, 5 or 6.

    Returns:
        `Alignment`.

    Raises:
        ValueError: If the kind is unknown or the ranks differ.

    Reference:
        - Jenkinson and Smith, A global optimisation method for robust affine registration of brain images, 2001 (many
          starts, the correlation ratio).
    """
    if kind not in KINDS or moving.ndim != fixed.ndim or moving.ndim not in (2, 3):
        raise ValueError(
            f"Expected a kind of {KINDS} and two images of 2 or 3 axes. "
            f"Received: kind={kind}, moving.shape={moving.shape}, fixed.shape={fixed.shape}"
        )
    with portable_kernels():
        return _align(moving, fixed, moving_to_world, fixed_to_world, kind)


def _align(moving, fixed, moving_to_world, fixed_to_world, kind):
    there = _Pyramid(moving, moving_to_world, fixed, fixed_to_world)
    back = _Pyramid(fixed, fixed_to_world, moving, moving_to_world)
    starts = starting_transforms(moving, fixed, moving_to_world, fixed_to_world, kind)
    coarsest, finest = ROUNDS[0].along, there.level(ROUNDS[-1])
    chosen = _promising(there.level(ROUNDS[0]), starts)
    for this in ROUNDS:
        if this.along == coarsest:  # one way is enough to choose by, and fewer parameters go astray less
            free, other = "rigid" if kind == "rigid" else "similarity", None
        else:
            free, other = kind, back.level(this)
        transforms, values = improved(
            there.level(this), other, [each.freed(free) for each, _ in chosen], this.iterations
        )
        doubt = np.array([1.0 if by_header else 1.0 / HEADER for _, by_header in chosen])
        best = np.argsort(values * doubt)[: this.kept]
        chosen = [(transforms[place], chosen[place][1]) for place in best]
    transform, by_header = chosen[0]
    whole = np.eye(fixed.ndim + 1)
    whole[:-1] = transform.matrix
    before, after = finest.values(np.stack([starts[0].matrix, transform.matrix]))
    return Alignment(whole, "header" if by_header else "search", float(before), float(after))


def improved(there, back, transforms, iterations):
    """Transforms after Levenberg-Marquardt steps, each with its own damping.

    Args:
        there: `CorrelationRatio`.
        back: The same with the images' parts exchanged, which takes the inverse transforms; None for one direction.
        transforms: List of `Transform` of one kind.
        iterations: At most.

    Returns:
        The transforms and their values.
    """
    damping = np.full(len(transforms), 1e-2)
    state = _both_ways(there, back, transforms)
    for _ in range(iterations):
        steps = [_step(*parts, damp) for *parts, damp in zip(*state[1:], damping, strict=True)]
        tried = [each.moved(step) for each, step in zip(transforms, steps, strict=True)]
        new = _both_ways(there, back, tried)
        better = new[0] < state[0]
        stalled = np.abs(state[0] - new[0]) < STALLED * state[0]
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-6, 1e3)
        transforms = [b if yes else a for a, b, yes in zip(transforms, tried, better, strict=True)]
        state = [np.where(better.reshape(-1, *[1] * (a.ndim - 1)), b, a) for a, b in zip(state, new, strict=True)]
        if stalled.all():
            break
    return transforms, state[0]


def _both_ways(there, back, transforms):
    """Values, gradients and Gauss-Newton matrices in the transforms' parameters."""
    value, gradient, matrix = there.normal_equations(np.stack([each.matrix for each in transforms]))
    directions = np.stack([each.directions() for each in transforms])
    gradient, matrix = _along(directions, gradient, matrix)
    if back is None:
        return value, gradient, matrix
    whole = np.tile(np.eye(transforms[0].matrix.shape[1]), (len(transforms), 1, 1))
    whole[:, :-1] = [each.matrix for each in transforms]
    inverse = np.linalg.inv(whole)
    other, *parts = back.normal_equations(inverse[:, :-1])
    # d(T^-1) = -T^-1 dT T^-1
    changes = directions.reshape(*directions.shape[:2], *whole[0, :-1].shape)
    turned = -np.einsum("cab,cpbd,cde->cpae", inverse[:, :-1, :-1], changes, inverse)
    more = _along(turned.reshape(directions.shape), *parts)
    return (value + other) / 2, (gradient + more[0]) / 2, (matrix + more[1]) / 2


def _along(directions, gradient, matrix):
    """A gradient and a matrix in the entries of the transforms, in their parameters."""
    turned = directions @ matrix @ directions.transpose(0, 2, 1)
    return np.einsum("cpm,cm->cp", directions, gradient), turned


def _step(gradient, matrix, damping):
    diagonal = np.diag(matrix)
    return -np.linalg.solve(matrix + np.diag(damping * diagonal + 1e-12 * (diagonal.max() + 1e-12)), gradient)


def _promising(level, starts):
    """Those by the headers, and the best of the others; each with whether it is by the headers."""
    values = level.values(np.stack([start.matrix for start in starts[BY_HEADER:]]))
    order = [*range(BY_HEADER), *(BY_HEADER + np.argsort(values)[:STARTED])]
    return [(starts[place], place < BY_HEADER) for place in order]


class _Pyramid:
    """The comparison of two images, at every resolution that is asked for."""

    def __init__(self, moving, moving_to_world, fixed, fixed_to_world):
        self.moving, self.fixed = moving, fixed
        self.moving_to_world, self.fixed_to_world = moving_to_world, fixed_to_world
        self.longest = max(np.linalg.norm(fixed_to_world[:-1, :-1], axis=0) * np.array(fixed.shape))
        self.levels = {}

    def level(self, this):
        """`CorrelationRatio` for a `Round`."""
        if this.along not in self.levels:
            resolution = self.longest / this.along
            inside, _ = _coarser((self.moving > 0).astype("float32"), self.moving_to_world, resolution)
            moving, moving_to_world = _coarser(self.moving, self.moving_to_world, resolution)
            fixed, fixed_to_world = _coarser(self.fixed, self.fixed_to_world, resolution)
            places = np.indices(fixed.shape).reshape(fixed.ndim, -1).T
            if len(places) > this.points:
                places = places[np.random.default_rng(0).permutation(len(places))[: this.points]]
            at = tuple(places.T)
            points = places @ fixed_to_world[:-1, :-1].T + fixed_to_world[:-1, -1]
            self.levels[this.along] = CorrelationRatio(moving, inside, moving_to_world, points, fixed[at], this.bins)
        return self.levels[this.along]


def _coarser(image, to_world, resolution):
    """An image of voxels about `resolution` wide, smoothed a little, and where they lie."""
    spacing = np.linalg.norm(to_world[:-1, :-1], axis=0)
    factors = tuple(
        max(1, min(int(resolution / size + 0.01), count // 4)) for size, count in zip(spacing, image.shape, strict=True)
    )
    pooled = ops.average_pool(
        ops.convert_to_tensor(image[None, ..., None], "float32"), factors, factors, padding="valid"
    )
    pooled = smooth(ops.moveaxis(pooled, -1, 1), gaussian_taps(0.6))
    to_world = to_world.copy()
    to_world[:-1, -1] += to_world[:-1, :-1] @ ((np.array(factors) - 1) / 2)
    to_world[:-1, :-1] = to_world[:-1, :-1] * factors
    return ops.convert_to_numpy(pooled)[0, 0], to_world
