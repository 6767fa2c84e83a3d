"""Batches of pairs, streamed from disk; the same for the same seed, epoch and step."""

import threading
from collections import OrderedDict

import keras
import numpy as np

from app.data.volumes import read_labels, read_volume


class SubjectCache:
    """Prepared volumes of subjects, the latest ones kept up to a limit of memory.

    Args:
        config: `CohortConfig`.
        shape: Spatial shape to which volumes are padded and cropped about their centre.
        structures: Label values that become 1, 2, ... in the label volumes; others 0.
    """

    def __init__(self, config, shape, structures=()):
        self.limit_bytes = int(config.cache_gib * 2**30)
        self.rule, self.nan = config.intensity_rule, config.nan
        self.shape = tuple(shape)
        self.structures = tuple(structures)
        self._kept = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def image(self, subject):
        """The image, `(*shape, 1)`, float32 in [0, 1]."""
        return self._get(subject.image, self._prepare_image, lambda path: read_volume(path, self.nan))

    def labels(self, subject):
        """The labels, `(*shape, 1)`, uint8: 0, or 1 + the place among the structures."""
        return self._get(subject.labels, self._prepare_labels, read_labels)

    def _prepare_image(self, array, path):
        return fit_to_shape(self.rule.unit_range(array, path), self.shape)[..., None]

    def _prepare_labels(self, array, _):
        prepared = np.zeros(array.shape, "uint8" if len(self.structures) < 256 else "uint16")
        for place, value in enumerate(self.structures, start=1):
            prepared[array == value] = place
        return fit_to_shape(prepared, self.shape)[..., None]

    def _get(self, path, prepare, read):
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        prepared = prepare(read(path).array, path)
        with self._lock:
            if path not in self._kept:
                self._kept[path] = prepared
                self._bytes += prepared.nbytes
            while self._bytes > self.limit_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return prepared


def fit_to_shape(array, shape):
    """Pad with zeros and crop about the centre.

    Args:
        array: NumPy array.
        shape: Wanted shape, of the same rank.

    Returns:
        Array of that shape; the same array where nothing is to be done.
    """
    if array.shape == tuple(shape):
        return array
    fitted = np.zeros(shape, array.dtype)
    source, target = [], []
    for have, want in zip(array.shape, shape, strict=True):
        size = min(have, want)
        source.append(slice((have - size) // 2, (have - size) // 2 + size))
        target.append(slice((want - size) // 2, (want - size) // 2 + size))
    fitted[tuple(target)] = array[tuple(source)]
    return fitted


class TrainingPairs(keras.utils.PyDataset):
    """Random pairs of different subjects with random hyper-parameters.

    What a batch holds depends on the seed, the epoch and the step alone: a training that
    is resumed sees what it would have seen.

    Args:
        subjects: List of `Subject`, two or more.
        cache: `SubjectCache`.
        hyper_parameters: List of `HyperParameter`; empty for a network without.
        steps: Batches per epoch.
        batch_size: Pairs a batch.
        hyper_per: "batch" (the paper) or "sample": what shares one draw.
        labels: Whether the label volumes come along.
        seed: Integer.
        first_epoch: Epoch with which it begins.
    """

    def __init__(
        self,
        subjects,
        cache,
        hyper_parameters,
        steps,
        batch_size=1,
        hyper_per="batch",
        labels=False,
        seed=0,
        first_epoch=0,
    ):
        super().__init__(workers=1)
        self.subjects = subjects
        self.cache = cache
        self.hyper_parameters = list(hyper_parameters)
        self.steps = steps
        self.batch_size = batch_size
        self.hyper_per = hyper_per
        self.labels = labels
        self.seed = seed
        self.epoch = first_epoch

    def __len__(self):
        return self.steps

    def on_epoch_end(self):
        self.epoch += 1

    def draw(self, epoch, step):
        """Who is registered to whom, and with which hyper-parameters.

        Args:
            epoch: From 0.
            step: From 0.

        Returns:
            Indices of the subjects `(batch_size, 2)`, moving and fixed, and hyper-parameter
            values `(batch_size, number of hyper-parameters)`.
        """
        rng = np.random.default_rng([self.seed, epoch, step])
        pairs = np.stack([rng.choice(len(self.subjects), 2, replace=False) for _ in range(self.batch_size)])
        draws = 1 if self.hyper_per == "batch" else self.batch_size
        values = [one.sample(rng, draws) for one in self.hyper_parameters]
        hyper = np.stack(values, axis=1) if values else np.zeros((draws, 0), "float32")
        return pairs, np.repeat(hyper, self.batch_size // draws, axis=0)

    def __getitem__(self, step):
        pairs, hyper = self.draw(self.epoch, step)
        moving, fixed = ([self.subjects[index] for index in column] for column in pairs.T)
        x = {
            "moving": np.stack([self.cache.image(subject) for subject in moving]),
            "fixed": np.stack([self.cache.image(subject) for subject in fixed]),
        }
        if self.hyper_parameters:
            x["hyper"] = hyper
        if not self.labels:
            return (x,)
        return x, {
            "moving_labels": np.stack([self.cache.labels(subject) for subject in moving]),
            "fixed_labels": np.stack([self.cache.labels(subject) for subject in fixed]),
        }
