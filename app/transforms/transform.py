"""Transforms in memory: where each point of the fixed space is read in the moving one, in RAS millimetres.

All take and give points, `(n, 3)`. An image is moved by asking, for each voxel of the result, where it is read; points
of the moving image take the inverse, see `Chain`.
"""

import dataclasses

import numpy as np
from scipy.ndimage import map_coordinates

from app.errors import UserError

SOLVED_MM, MISSED_MM = 1e-4, 0.01  # when the search for an inverse ends, and what it may miss unsaid
TURNS, NEWTON_TURNS, HALVINGS = 30, 40, 6  # of the fixed point, of Newton's method, of a step of it, at most
SHALLOWEST = 1e-3  # Jacobian determinant, below which Newton's step is not taken
FLATTEST = 1e-9  # determinant of a linear part over the cube of its longest axis
SAMPLED = 20_000  # places at which the affine part of a field is fitted


@dataclasses.dataclass(frozen=True)
class Linear:
    """An affine transform.

    Args:
        matrix: `(4, 4)`, fixed to moving, RAS millimetres.

    Raises:
        UserError: If it is not finite.
    """

    matrix: np.ndarray

    def __post_init__(self):
        if np.shape(self.matrix) != (4, 4) or not np.all(np.isfinite(self.matrix)):
            raise UserError("its matrix is not finite, or not 4 x 4; write the transform again")

    def __call__(self, points, tally=None):
        """Where points are read."""
        del tally
        return points @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def inverse(self):
        """The transform back.

        Raises:
            UserError: If there is none.
        """
        linear = self.matrix[:3, :3]
        if abs(np.linalg.det(linear)) <= FLATTEST * np.linalg.norm(linear, axis=0).max() ** 3:
            raise UserError("its matrix cannot be inverted: it presses space flat; use it forward only")
        return Linear(np.linalg.inv(self.matrix))


@dataclasses.dataclass(frozen=True)
class Field:
    """A displacement field: linear between its voxels, 0 beyond their outer faces, as in ITK.

    Args:
        vectors: Float32 array `(i, j, k, 3)`, RAS millimetres.
        affine: `(4, 4)`, voxel to RAS millimetres.
        flat: Whether it is of a 2D image: one voxel along k, the same at any height.
    """

    vectors: np.ndarray
    affine: np.ndarray
    flat: bool = False

    @classmethod
    def of_voxels(cls, displacement, affine):
        """A displacement as networks and the engine give it.

        Args:
            displacement: Array `(i, j[, k], rank)`, in voxels.
            affine: `(4, 4)` of its grid.
        """
        rank = displacement.shape[-1]
        turn = np.asarray(affine)[:3, :rank].T.astype("float32")
        vectors = np.empty((*displacement.shape[:-1], 3), "float32")
        for plane, voxels in zip(vectors, displacement, strict=True):  # the whole at once would be copied once more
            plane[...] = voxels @ turn
        flat = rank == 2
        return cls(vectors[:, :, None] if flat else vectors, np.asarray(affine, float), flat)

    @property
    def shape(self):
        """Voxels along each of three axes."""
        return self.vectors.shape[:3]

    def __call__(self, points, tally=None):
        """Where points are read."""
        places = self.places(points)
        within = self.within(places)
        if tally is not None:
            tally.add(len(points), len(points) - np.count_nonzero(within))
        return points + np.where(within[:, None], self.sampled(places), 0.0)

    def inverse(self):
        """The transform back, by a fixed point: see `InverseField`."""
        return InverseField(self)

    def fitted(self):
        """The affine transform that is nearest to the field in least squares.

        Returns:
            `(4, 4)`.
        """
        step = max(1, int(np.ceil((np.prod(self.shape) / SAMPLED) ** (1 / 3))))
        steps = tuple(slice(None, None, step if size > step else 1) for size in self.shape)
        places = np.stack(np.meshgrid(*(np.arange(size)[part] for size, part in zip(self.shape, steps, strict=True)),
                                      indexing="ij"), axis=-1).reshape(-1, 3)  # fmt: skip
        points = places @ self.affine[:3, :3].T + self.affine[:3, 3]
        middle = points.mean(axis=0)
        known = np.column_stack([points - middle, np.ones(len(points))])
        displaced = self.vectors[steps].reshape(-1, 3).astype(float)
        solved = np.linalg.lstsq(known, displaced, rcond=1e-6)[0].T
        matrix = np.eye(4)
        matrix[:3, :3] += solved[:, :3]
        matrix[:3, 3] = solved[:, 3] - solved[:, :3] @ middle
        return matrix

    def places(self, points):
        """Voxels of the field, `(3, n)`, at which points lie."""
        return np.linalg.solve(self.affine[:3, :3], (points - self.affine[:3, 3]).T)

    def within(self, places):
        """Which places, `(3, n)`, lie within the outer faces of the field's voxels."""
        within = np.ones(places.shape[1], bool)
        for axis, size in enumerate(self.shape[: 2 if self.flat else 3]):
            within &= (places[axis] >= -0.5) & (places[axis] < size - 0.5)
        return within

    def sampled(self, places):
        """Displacements `(n, 3)` at places, `(3, n)`; beyond the field those of its edge."""
        return np.stack(
            [map_coordinates(self.vectors[..., axis], places, order=1, mode="nearest") for axis in range(3)], axis=-1
        )


class InverseField:
    """The inverse of a field, by a fixed point about its affine part, so that fields with a large one have theirs.

    Formula: `p <- A^-1 (y - r(p))`, where the field is `A p + r(p)`, and beyond its grid `r` goes on as at its edge.
    Points that this does not bring there (where the field presses together by more than half it need not) go on by
    Newton's method, each step halved until it comes nearer.

    Args:
        field: `Field`.

    Raises:
        UserError: If its affine part cannot be inverted.
    """

    def __init__(self, field):
        self.field = field
        self.matrix = field.fitted()
        try:
            self.back = Linear(self.matrix).inverse().matrix
        except UserError:
            raise UserError("has no inverse: on the whole it presses space flat; use it forward only") from None

    def __call__(self, points, tally=None):
        """Where points are read.

        Args:
            points: `(n, 3)`.
            tally: `Tally` of what missed.
        """
        guess = self._solved(points, np.zeros(3))
        active = np.arange(len(points))
        for _ in range(TURNS):
            solved = self._solved(points[active], self._rest(guess[active]))
            moved = np.linalg.norm(solved - guess[active], axis=1)
            guess[active] = solved
            active = active[moved > SOLVED_MM]
            if not len(active):
                break
        folded = 0
        if len(active):
            guess[active], folded = self._by_newton(points[active], guess[active])
        if tally is not None:
            self._count(points, guess, tally)
            tally.add(missed=folded)
        return guess

    def _by_newton(self, points, guess):
        """Where the points are read, and how many of these places lie in a fold."""
        missed = self._missed(guess, points)
        for _ in range(NEWTON_TURNS):
            active = np.flatnonzero(np.linalg.norm(missed, axis=1) > SOLVED_MM)
            if not len(active):
                break
            here, target = guess[active], points[active]
            jacobian = self._jacobian(here, target)
            flat = np.abs(np.linalg.det(jacobian)) < SHALLOWEST
            jacobian[flat] = self.matrix[:3, :3]
            toward = np.linalg.solve(jacobian, missed[active][..., None])[..., 0]
            guess[active], missed[active] = self._nearer(here, target, toward, missed[active])
        return guess, int(np.count_nonzero(np.linalg.det(self._jacobian(guess, points)) <= 0))

    def _jacobian(self, guess, points):
        step = 0.1 * np.linalg.norm(self.field.affine[:3, :3], axis=0).min()
        slopes = [(self._missed(guess + offset, points) - self._missed(guess - offset, points)) / (2 * step)
                  for offset in step * np.eye(3)]  # fmt: skip
        return np.stack(slopes, axis=-1)

    def _nearer(self, here, target, toward, missed):
        """The longest of the step and its halves that comes nearer, for each point; none where none does."""
        best, left = here.copy(), missed.copy()
        waiting, share = np.arange(len(here)), 1.0
        for _ in range(HALVINGS):
            tried = here[waiting] - share * toward[waiting]
            apart = self._missed(tried, target[waiting])
            nearer = np.linalg.norm(apart, axis=1) < np.linalg.norm(missed[waiting], axis=1)
            best[waiting[nearer]], left[waiting[nearer]] = tried[nearer], apart[nearer]
            waiting, share = waiting[~nearer], share / 2
            if not len(waiting):
                break
        return best, left

    def _missed(self, guess, points):
        """From where the points should be to where the field, extended, leads."""
        return Linear(self.matrix)(guess) + self._rest(guess) - points

    def inverse(self):
        """The field itself."""
        return self.field

    def _count(self, points, solved, tally):
        within = self.field.within(self.field.places(solved))
        apart = np.linalg.norm(self.field(solved[within]) - points[within], axis=1)
        tally.add(len(points), np.count_nonzero(~within), np.count_nonzero(apart > MISSED_MM), apart.max(initial=0.0))

    def _solved(self, points, rest):
        return (points - rest) @ self.back[:3, :3].T + self.back[:3, 3]

    def _rest(self, points):
        """What the field adds to its affine part; beyond its grid that at its edge."""
        field = self.field
        edge = np.array(field.shape)[:, None] - 1.0
        places = np.clip(field.places(points), 0.0, edge)
        nearest = places.T @ field.affine[:3, :3].T + field.affine[:3, 3]
        if field.flat:  # any height is that of the plane
            nearest = nearest + _across(field, points - nearest)
        return nearest + field.sampled(places) - Linear(self.matrix)(nearest)


def _across(field, offset):
    normal = np.cross(field.affine[:3, 0], field.affine[:3, 1])
    normal = normal / np.linalg.norm(normal)
    return (offset @ normal)[:, None] * normal


@dataclasses.dataclass(frozen=True)
class Chain:
    """Several transforms.

    Args:
        steps: In the order in which they move an image: the first first. A point of the result therefore goes through
            the last first, as in SimpleITK's `CompositeTransform`.
    """

    steps: tuple

    def __call__(self, points, tally=None):
        """Where points are read."""
        for step in reversed(self.steps):
            points = step(points, tally)
        return points

    def inverse(self):
        """The chain back: each inverted, in the other order."""
        return Chain(tuple(step.inverse() for step in reversed(self.steps)))

    def joined(self):
        """The same with neighbouring matrices multiplied.

        Returns:
            `Chain`.
        """
        steps = []
        for step in self.steps:
            if isinstance(step, Linear) and steps and isinstance(steps[-1], Linear):
                steps[-1] = Linear(steps[-1].matrix @ step.matrix)
            else:
                steps.append(step)
        return Chain(tuple(steps))
