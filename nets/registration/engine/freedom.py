"""Affine transforms with fewer than all parameters: what may change, and in which directions."""

import dataclasses

import numpy as np

KINDS = ("rigid", "similarity", "scaling", "affine")


@dataclasses.dataclass(frozen=True)
class Transform:
    """`y = R S (x - c) + c + t`, R a rotation.

    Args:
        kind: "rigid" (S = 1; 6 parameters in 3D), "similarity" (one scale; 7), "scaling" (one scale per axis; 9) or
            "affine" (R S any matrix; 12).
        rotation: R, `(rank, rank)`; of an affine transform R S.
        scales: `(rank,)`, the diagonal of S.
        translation: t, `(rank,)`.
        centre: c, `(rank,)`.
    """

    kind: str
    rotation: np.ndarray
    scales: np.ndarray
    translation: np.ndarray
    centre: np.ndarray

    @property
    def matrix(self):
        """`(rank, rank + 1)`."""
        linear = self.rotation * self.scales
        return np.concatenate([linear, (self.centre + self.translation - linear @ self.centre)[:, None]], axis=1)

    def directions(self):
        """How the entries of `matrix` change with each parameter.

        Returns:
            Array `(parameters, rank * (rank + 1))`.
        """
        linear, rank = self.rotation * self.scales, len(self.scales)
        if self.kind == "affine":
            changes = [_unit(rank, row, column) for row in range(rank) for column in range(rank)]
        else:
            changes = [generator @ linear for generator in _generators(rank)]
            if self.kind == "similarity":
                changes.append(linear)
            if self.kind == "scaling":
                changes += [self.rotation * self.scales * (np.arange(rank) == axis) for axis in range(rank)]
        parts = [np.concatenate([change, -(change @ self.centre)[:, None]], axis=1) for change in changes]
        shifts = [np.concatenate([np.zeros((rank, rank)), column[:, None]], axis=1) for column in np.eye(rank)]
        return np.stack([part.ravel() for part in (*parts, *shifts)])

    def moved(self, step):
        """The transform after a step in its parameters.

        Args:
            step: Array `(parameters,)`, in the order of `directions`.
        """
        rank = len(self.scales)
        rotation, scales, translation = self.rotation, self.scales, self.translation + step[-rank:]
        if self.kind == "affine":
            return dataclasses.replace(
                self, rotation=rotation + step[: rank * rank].reshape(rank, rank), translation=translation
            )
        generators = _generators(rank)
        turn = sum(angle * generator for angle, generator in zip(step, generators, strict=False))
        factors = step[len(generators) : -rank]
        if len(factors):
            scales = scales * np.exp(np.clip(factors, -0.2, 0.2))
        return dataclasses.replace(self, rotation=_turn(turn) @ rotation, scales=scales, translation=translation)

    def freed(self, kind):
        """The same transform with more parameters."""
        if kind != "affine" or self.kind == "affine":
            return dataclasses.replace(self, kind=kind)
        return dataclasses.replace(
            self, kind=kind, rotation=self.rotation * self.scales, scales=np.ones_like(self.scales)
        )


def _unit(rank, row, column):
    matrix = np.zeros((rank, rank))
    matrix[row, column] = 1.0
    return matrix


def _generators(rank):
    """Infinitesimal rotations in each plane."""
    planes = [(0, 1)] if rank == 2 else [(1, 2), (2, 0), (0, 1)]
    return [_unit(rank, b, a) - _unit(rank, a, b) for a, b in planes]


def _turn(skew):
    """Rotation of a skew matrix: the Cayley transform, exact to third order, always a rotation."""
    identity = np.eye(len(skew))
    return np.linalg.solve(identity - skew / 2, identity + skew / 2)
