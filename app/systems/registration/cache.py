"""Prepared images and labels of subjects, kept in memory up to a limit."""

import threading
from collections import OrderedDict

import numpy as np

from app.data.read import read_labels, read_volume


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
