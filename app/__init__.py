"""Everything that touches files, people and machines."""

import nets  # noqa: F401 - before TensorFlow is loaded: it switches oneDNN on
