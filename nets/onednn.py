"""TensorFlow's oneDNN kernels, on whatever the processor."""

import os
import sys


def switch_on():
    """Have TensorFlow use oneDNN once it is loaded, unless `TF_ENABLE_ONEDNN_OPTS` says otherwise.

    TensorFlow itself leaves these kernels off on processors without AVX-512, where 3D convolutions
    are five times slower without them. The variable is read once, when the library is loaded: after
    that this does nothing. Child processes inherit it.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
