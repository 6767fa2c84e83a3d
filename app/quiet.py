"""Keras imported without TensorFlow's lines about the machine, which no setting silences."""

import os


def import_keras():
    """Import Keras and its backend with standard error closed to the C++ libraries.

    TensorFlow 2.21 prints six lines on every import, whatever `TF_CPP_MIN_LOG_LEVEL` says; they
    would bury ours. Errors of the import still raise.

    Returns:
        The `keras` module.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return keras
