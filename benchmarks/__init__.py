"""One command per published figure; results in `benchmarks/results`."""

import nets  # noqa: F401 - before TensorFlow is loaded: it switches oneDNN on
