"""Batches of cubes, augmented; the same for the same seed, epoch and step."""

import keras
import numpy as np
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation


class CubeBatches(keras.utils.PyDataset):
    """Every case once an epoch, in random order, in whole batches; of two populations each as often.

    Args:
        cases: List of `CubeCase`.
        batch_size: Cases in a batch.
        seed: Integer.
        augmentation: `CubeAugmentationConfig`.
        first_epoch: Epoch with which this session begins.
        outputs: Names of the network's outputs that are compared with the masks; empty of a network with one output.
    """

    def __init__(self, cases, batch_size, seed, augmentation, first_epoch=0, outputs=()):
        super().__init__()
        self.cases, self.batch_size, self.seed = cases, min(batch_size, len(cases)), seed
        self.augmentation, self.epoch, self.outputs = augmentation, first_epoch, outputs
        kinds = {}
        for index, cube in enumerate(cases):
            kinds.setdefault(cube.case.population, []).append(index)
        self.kinds = list(kinds.values())
        self.count = max(map(len, self.kinds)) * len(self.kinds)

    def __len__(self):
        return max(1, self.count // self.batch_size)

    def on_epoch_end(self):
        self.epoch += 1

    def __getitem__(self, step):
        rng = np.random.default_rng([self.seed, self.epoch, step])
        chosen = self._order()[step * self.batch_size : (step + 1) * self.batch_size]
        pairs = [augmented(self.cases[index], self.augmentation, rng) for index in chosen]
        images, masks = (np.stack(column) for column in zip(*pairs, strict=True))
        return {"image": images[..., None]}, dict.fromkeys(self.outputs, masks) or masks

    def _order(self):
        rng = np.random.default_rng([self.seed, self.epoch, 2**31])
        largest = max(map(len, self.kinds))
        orders = [np.concatenate([rng.permutation(kind) for _ in range(-(-largest // len(kind)))])[:largest]
                  for kind in self.kinds]  # fmt: skip
        return rng.permutation(np.concatenate(orders))


def augmented(cube, config, rng):
    """A case moved, and of another gain.

    Args:
        cube: `CubeCase`.
        config: `CubeAugmentationConfig`.
        rng: `numpy.random.Generator`.

    Returns:
        Image `(size, size, size)` and mask `(size, size, size, structures)`, float32.

    Reference:
        - Bertrand, thesis, 2019, table 4.1.
    """
    image, mask = cube.image.astype("float32"), cube.mask.astype("float32")
    shift = rng.normal(0, 1, 3) * config.translation_vox
    turn = rng.normal(0, 1, 3) * config.rotation_radians
    scale = np.exp(rng.normal(0, 1, 3) * config.scaling)
    noise, gain = rng.normal(0, 1) * config.noise, np.exp(rng.normal(0, 1) * config.gamma)
    grain = rng.standard_normal(image.shape, "float32")
    if config.translation_vox or config.rotation_radians or config.scaling:
        matrix = Rotation.from_euler("XYZ", turn * [1, -1, 1]).as_matrix() * scale
        centre = (np.array(image.shape) - 1) / 2
        offset = centre + shift - matrix @ centre
        image, *parts = (
            affine_transform(array, matrix, offset, order=1) for array in (image, *np.moveaxis(mask, -1, 0))
        )
        mask = np.stack(parts, axis=-1)
    image = np.clip(image, 0, 1) ** np.float32(gain)
    return np.clip(image + np.float32(noise) * grain * (image > 0), 0, 1), mask
