"""Arrays in batches whose order depends on seed and epoch alone."""

import keras
import numpy as np


class SeededBatches(keras.utils.PyDataset):
    """Shuffled batches of arrays: a training that is resumed sees what it would have seen.

    Args:
        arrays: Tuple of arrays or dicts of arrays: x, or x and y, or x, y and sample weights.
        batch_size: Samples a batch; the last may be smaller.
        seed: Integer.
        first_epoch: Epoch with which it begins.
    """

    def __init__(self, arrays, batch_size=32, seed=0, first_epoch=0):
        super().__init__(workers=1)
        self.arrays, self.batch_size, self.seed = arrays, batch_size, seed
        self.count = len(keras.tree.flatten(arrays)[0])
        self.epoch = first_epoch
        self._shuffle()

    def __len__(self):
        return -(-self.count // self.batch_size)

    def __getitem__(self, step):
        chosen = self._order[step * self.batch_size : (step + 1) * self.batch_size]
        return keras.tree.map_structure(lambda array: np.asarray(array)[chosen], self.arrays)

    def on_epoch_end(self):
        self.epoch += 1
        self._shuffle()

    def _shuffle(self):
        self._order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
