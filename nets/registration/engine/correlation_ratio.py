"""How well the intensities of one image tell those of another at a set of points, and the slope of that."""

import numpy as np
from keras import ops

from nets.ops.sample import linear_at

CHUNK = 2**18  # positions sampled at once
LEAST_OVERLAP = 0.25  # of the points that could lie in the moving image
WORST = 2.0  # where fewer do
BENDING = 1e-3  # weight, per point, of the squared second differences of the intensity curve


class CorrelationRatio:
    """`1 - correlation ratio` of a fixed image given a moving one, over affine transforms.

    Formula: `sum w (f - h(m))^2 / sum w (f - mean f)^2`: f the fixed image at the points, m the moving one at the
    transformed points, `h` the piecewise linear function that fits best, w 1 where m lies in the moving image. Of a
    voxel that is partly background `h` is taken of its tissue alone, `c h(m / c) + (1 - c) b`, c its share of tissue
    and b the background's own value: else a masked border would look like every tissue between. 0 if f is a function of
    m, whatever the function, so that contrasts may differ; about 1 if they have nothing to do with each other. The
    fixed image is the predicted one since its variance hardly depends on the transform: the other way round a larger
    moving image has more variance, and is preferred.

    Args:
        moving: Array `(i, j[, k])`, in [0, 1].
        inside: Array of the same shape: share of each voxel that is not background.
        moving_to_world: `(rank + 1, rank + 1)`, from its voxels.
        points: Array `(n, rank)`, in world units.
        fixed: Array `(n,)`: intensities in [0, 1] there.
        bins: Intervals of `h` over [0, 1].

    Reference:
        - Roche et al., The correlation ratio as a new similarity measure for multimodal image registration, 1998.
        - Golub and Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems whose
          variables separate, 1973 (`h` is projected out of the derivatives).
    """

    def __init__(self, moving, inside, moving_to_world, points, fixed, bins):
        self.rank, self.bins = moving.ndim, bins
        slopes = [slope for image in (moving, inside) for slope in np.gradient(image)]
        self.channels = np.stack([moving, inside, *slopes], axis=-1)[None].astype("float32")
        self.shape = np.array(moving.shape)
        self.from_world = np.linalg.inv(moving_to_world)
        self.points = np.concatenate([points, np.ones((len(points), 1))], axis=1).astype("float32")
        self.fixed = fixed.astype("float32")
        reach = abs(np.linalg.det(moving_to_world)) * np.prod(moving.shape) / max(np.prod(np.ptp(points, axis=0)), 1e-9)
        self.reachable = min(1.0, reach) * len(fixed)
        bend = np.diff(np.eye(bins + 1), 2, axis=0)
        self.bending = 1e-6 * np.eye(bins + 2)
        self.bending[:-1, :-1] += BENDING * bend.T @ bend

    def values(self, matrices):
        """Of many transforms.

        Args:
            matrices: `(count, rank, rank + 1)`, from world to world, pull-back.

        Returns:
            Array `(count,)`.
        """
        size = max(1, CHUNK // len(self.points))
        parts = [matrices[first : first + size] for first in range(0, len(matrices), size)]
        return np.concatenate([self._fit(part, 2)[0] for part in parts])

    def normal_equations(self, matrices):
        """Of a Gauss-Newton step in the entries of the matrices.

        Args:
            matrices: `(count, rank, rank + 1)`.

        Returns:
            Values `(count,)`; gradients `(count, m)` and Gauss-Newton matrices `(count, m, m)` with
            `m = rank * (rank + 1)`, for the entries row by row.
        """
        value, sampled, tissue, weights, residual, total, basis, inverse, curve = self._fit(matrices, 2 + 2 * self.rank)
        to_voxels = self.from_world[: self.rank, : self.rank].astype("float32")
        image_slopes, mask_slopes = (part @ to_voxels for part in np.split(sampled[..., 2:], 2, axis=-1))
        place = np.minimum((tissue * self.bins).astype(int), self.bins - 1)
        gain = self.bins * np.take_along_axis(np.diff(curve[:, :-1], axis=1), place, axis=1)
        height = np.take_along_axis(curve, place, axis=1) + gain * (tissue - place / self.bins)
        # f = mask h(m / mask) + (1 - mask) b, so that
        slopes = gain[..., None] * image_slopes + (height - gain * tissue - curve[:, -1:])[..., None] * mask_slopes
        count, points = residual.shape
        jacobian = (slopes[..., :, None] * self.points[None, :, None, :]).reshape(count, points, -1)
        weighted = weights[..., None] * jacobian
        across = np.matmul(basis.transpose(0, 2, 1), weighted)
        gradient = -np.einsum("cnm,cn->cm", weighted, residual)
        matrix = np.matmul(jacobian.transpose(0, 2, 1), weighted) - across.transpose(0, 2, 1) @ inverse @ across
        return value, 2 * gradient / total[:, None], 2 * matrix / total[:, None, None]

    def _fit(self, matrices, channels):
        """The curve `h` of each transform, and what is left."""
        whole = np.tile(np.eye(self.rank + 1), (len(matrices), 1, 1))
        whole[:, : self.rank] = matrices
        to_voxels = (self.from_world @ whole)[:, : self.rank].astype("float32")
        places = np.matmul(self.points, to_voxels.transpose(0, 2, 1))
        weights = np.all((places >= -0.5) & (places <= self.shape - 0.5), axis=-1).astype("float32")
        sampled = self._sample(places.reshape(1, -1, self.rank), channels).reshape(*weights.shape, channels)
        nodes, mask = np.arange(self.bins + 1, dtype="float32"), sampled[..., 1]
        tissue = np.clip(sampled[..., 0] / np.maximum(mask, 1e-3), 0.0, 1.0)
        hats = np.maximum(0.0, 1.0 - np.abs(self.bins * tissue[..., None] - nodes))
        basis = np.concatenate([mask[..., None] * hats, 1.0 - mask[..., None]], axis=-1)
        weighted = weights[..., None] * basis
        mass = np.maximum(weights.sum(axis=1), 1e-6)
        normal = np.matmul(weighted.transpose(0, 2, 1), basis) + mass[:, None, None] * self.bending
        inverse = np.linalg.inv(normal)
        curve = np.matmul(inverse, np.einsum("n,cnb->cb", self.fixed, weighted)[..., None])[..., 0].astype("float32")
        residual = self.fixed - np.matmul(basis, curve[..., None])[..., 0]
        away = self.fixed - (weights @ self.fixed / mass)[:, None]
        total = np.maximum((weights * away**2).sum(axis=1), 1e-9)
        value = (weights * residual**2).sum(axis=1) / total
        value = np.where(mass < LEAST_OVERLAP * self.reachable, WORST, value)
        return value, sampled, tissue, weights, residual, total, basis, inverse.astype("float32"), curve

    def _sample(self, places, channels):
        volume = ops.convert_to_tensor(self.channels[..., :channels])
        positions = [ops.convert_to_tensor(places[..., axis]) for axis in range(self.rank)]
        return ops.convert_to_numpy(linear_at(volume, positions))
