"""The size of a model before it takes memory."""

import math
from unittest import mock

import keras
import numpy as np


def model_size(build):
    """Count parameters and activations of a model without making its weights.

    Variables are declared but not initialised. Activations are the outputs of all layers for one
    sample, where the model is functional or sequential.

    Args:
        build: Function `() -> keras.Model`; it may compile the model.

    Returns:
        Numbers of parameters and of activations; 0 where they cannot be known before the first batch.
    """
    original = keras.Variable.__init__

    def declare(self, initializer, shape=None, dtype=None, **kwargs):
        if not callable(initializer):  # an optimiser's learning rate, which Keras refuses in this scope
            value, shape = initializer, np.shape(initializer)
            dtype = dtype or keras.backend.standardize_dtype(getattr(value, "dtype", type(value).__name__))

            def initializer(*_, **__):
                return keras.ops.convert_to_tensor(value, dtype)

        original(self, initializer, shape, dtype, **kwargs)

    try:
        with mock.patch.object(keras.Variable, "__init__", declare), keras.StatelessScope(initialize_variables=False):
            model = build()
        return _count(model)
    finally:
        # Else what was declared here would be made at the next chance. A proposal counts dozens of models, none of
        # which took memory: collecting garbage each time would take longer than all else.
        keras.backend.clear_session(free_memory=False)


def _count(model):
    if not model.built:
        return 0, 0
    parameters = sum(math.prod(weight.shape) for weight in model.weights)
    activations = 0
    for layer in model.layers:
        try:
            outputs = keras.tree.flatten(layer.output)
        except (AttributeError, ValueError):  # called by hand, or more than once
            continue
        activations += sum(math.prod(size or 1 for size in output.shape[1:]) for output in outputs)
    return parameters, activations
