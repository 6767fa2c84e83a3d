"""Gradients on whichever backend the tests run."""

import keras


def gradients(function, *arrays):
    """Gradients of a scalar function of arrays.

    Args:
        function: Function of tensors, returns a scalar tensor.
        *arrays: Its arguments as NumPy arrays.

    Returns:
        List of NumPy arrays.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        found = jax.grad(function, argnums=tuple(range(len(arrays))))(*map(keras.ops.convert_to_tensor, arrays))
    elif backend == "torch":
        import torch

        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        found = torch.autograd.grad(function(*tensors), tensors)
    else:
        import tensorflow as tf

        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        found = tape.gradient(value, tensors)
    return [keras.ops.convert_to_numpy(item) for item in found]
