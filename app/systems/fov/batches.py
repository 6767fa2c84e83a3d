"""Batches of slices, augmented; the same for the same seed, epoch and step."""

import keras
import numpy as np


class SliceBatches(keras.utils.PyDataset):
    """Random slices with their classes and the weights of those.

    Args:
        slices: `(n, size, size, channels)`, uint8.
        classes: `(n,)`.
        weights: `(classes,)`: weight of each class in the loss.
        config: `FovConfig`: batch size, steps per epoch, seed, augmentation.
        first_epoch: Epoch with which this session begins.
    """

    def __init__(self, slices, classes, weights, config, first_epoch=0):
        super().__init__()
        self.slices, self.classes, self.weights = slices, classes, np.asarray(weights, "float32")
        self.batch_size, self.steps = config.training.batch_size, config.training.steps_per_epoch
        self.seed, self.augmentation, self.epoch = config.seed, config.augmentation, first_epoch

    def __len__(self):
        return self.steps

    def on_epoch_end(self):
        self.epoch += 1

    def __getitem__(self, step):
        rng = np.random.default_rng([self.seed, self.epoch, step])
        chosen = rng.integers(len(self.slices), size=self.batch_size)
        slices = augmented(self.slices[chosen].astype("float32") / 255.0, self.augmentation, rng)
        return {"slices": slices}, self.classes[chosen], self.weights[self.classes[chosen]]


def augmented(slices, config, rng):
    """Slices moved, and of another contrast.

    Args:
        slices: `(n, size, size, channels)`, in [0, 1].
        config: `AugmentationConfig`.
        rng: `numpy.random.Generator`.

    Returns:
        Array of the same shape, float32 in [0, 1].
    """
    count, size = slices.shape[:2]
    angle, shear, zoom = (rng.uniform(-1, 1, count) for _ in range(3))
    angle, shear = np.radians(config.rotation_degrees) * angle, config.shear * shear
    zoom = np.exp(np.log1p(config.zoom) * zoom)
    shift = config.translation * rng.uniform(-1, 1, (count, 2))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.einsum("abn,bcn->nac", rotation, np.array([[zoom, zoom * shear], [0 * zoom, zoom]]))
    axis = (np.arange(size) + 0.5) / size - 0.5
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    points = (np.einsum("nab,pb->npa", matrix, grid) + shift[:, None] + 0.5) * size - 0.5
    moved = _sampled(slices, points).reshape(slices.shape)
    ones = np.ones((count, 1, 1, 1), "float32")
    moved = moved ** np.exp(config.gamma * rng.uniform(-1, 1, ones.shape)).astype("float32")
    tilt = config.bias * rng.uniform(-1, 1, (2, *ones.shape)).astype("float32")
    row, column = axis[None, :, None, None].astype("float32"), axis[None, None, :, None].astype("float32")
    moved = moved * (1 + tilt[0] * row + tilt[1] * column)
    deviation = config.noise * rng.random(ones.shape, "float32")
    return np.clip(moved + deviation * rng.standard_normal(moved.shape, "float32"), 0, 1)


def _sampled(slices, points):
    """Bilinear, 0 outside: `(n, size, size, c)` at `(n, p, 2)`."""
    count, size = slices.shape[:2]
    padded = np.pad(slices, ((0, 0), (1, 1), (1, 1), (0, 0)))
    points = np.clip(points + 1, 0, size + 0.999)
    low = points.astype(int)
    share = (points - low)[..., None].astype("float32")
    which = np.arange(count)[:, None]
    row, column = low[..., 0], low[..., 1]
    top = padded[which, row, column] * (1 - share[..., 1, :]) + padded[which, row, column + 1] * share[..., 1, :]
    bottom = padded[which, row + 1, column] * (1 - share[..., 1, :])
    bottom = bottom + padded[which, row + 1, column + 1] * share[..., 1, :]
    return top * (1 - share[..., 0, :]) + bottom * share[..., 0, :]
