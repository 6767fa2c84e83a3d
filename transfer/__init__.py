"""Adapting a segmentation network to a new population: poses, intensities, a gate, strategies."""

import nets  # noqa: F401 - before TensorFlow is loaded: it switches oneDNN on
