"""The seam to TensorFlow: sampling kernels compiled by XLA, with gradients of our own.

Gathers fuse into one pass under XLA (8 times faster than TensorFlow's plain graph on a
CPU), convolutions do not; so each kernel is compiled by itself and the network is not.
On the JAX and PyTorch backends the plain function and the backend's own gradient serve.
"""

import contextlib

import keras

_portable = False


@contextlib.contextmanager
def portable_kernels():
    """Within this context kernels are traced as plain graph operations.

    A SavedModel must run on servers built without XLA and at spatial sizes unknown when
    it is written; `app.export` traces inside this context.
    """
    global _portable
    previous, _portable = _portable, True
    try:
        yield
    finally:
        _portable = previous


def kernels_are_portable():
    """Whether kernels are traced as plain graph operations now: see `portable_kernels`."""
    return _portable


def compiled(function, any_size=True):
    """Compile a pure tensor function with XLA, where the backend is TensorFlow.

    Args:
        function: Takes and returns tensors only.
        any_size: Whether it is traced once for all sizes. Traced per size it is compiled in half of the time where
            it slices and pads.

    Returns:
        A function of the same signature: traced once for ranks, types and channels, compiled
        by XLA once a size besides (a tenth of a second). Plain inside `portable_kernels()`
        and on the other backends.
    """
    if keras.backend.backend() != "tensorflow":
        return function

    import tensorflow as tf

    kernels = {}

    def call(*tensors):
        if _portable:
            return function(*tensors)
        shapes = ([*[None] * (len(x.shape) - 1), x.shape[-1]] if any_size else x.shape for x in tensors)
        specs = tuple(tf.TensorSpec(shape, x.dtype) for shape, x in zip(shapes, tensors, strict=True))
        if specs not in kernels:
            kernels[specs] = tf.function(function, specs, jit_compile=True, autograph=False)
        return kernels[specs](*tensors)

    return call


def one_graph(function):
    """Trace a function that calls several compiled kernels, which costs a tenth of calling them one by one.

    Compiled as one kernel they would be fused, and each would compute all before it again for every neighbour.

    Args:
        function: Takes and returns tensors only.

    Returns:
        A function of the same signature, traced once per shape; `function` itself on the other backends.
    """
    if keras.backend.backend() != "tensorflow":
        return function

    import tensorflow as tf

    return tf.function(function, autograph=False)


def compiled_components(function, count):
    """Compile a tensor function with several components a voxel, and stack them.

    XLA on a CPU runs one parallel loop an output: three components that share their gathers
    would gather three times. Packed into one element of 128 bits they are computed in one
    loop, 3 times faster (5 times for 8 channels).

    Args:
        function: Takes tensors, returns a list of `count` float32 tensors of one shape.
        count: 2, 3 or 4.

    Returns:
        A function of the same arguments that returns them stacked along a new last axis.
    """
    if keras.backend.backend() != "tensorflow":
        return lambda *tensors: keras.ops.stack(function(*tensors), axis=-1)

    import tensorflow as tf

    def bits(number):
        return tf.cast(tf.bitcast(number, tf.uint32), tf.uint64)

    def pair(low, high):
        both = tf.bitwise.bitwise_or(bits(low), tf.bitwise.left_shift(bits(high), tf.constant(32, tf.uint64)))
        return tf.bitcast(both, tf.float64)

    def packed(*tensors):
        a, b, *rest = function(*tensors)
        c, d = [*rest, a, a][:2]
        return tf.complex(pair(a, b), pair(c, d))

    kernel = compiled(packed)

    def call(*tensors):
        if _portable:
            return tf.stack(function(*tensors), axis=-1)
        return tf.bitcast(kernel(*tensors), tf.float32)[..., :count]

    return call


def with_gradient(forward, gradients):
    """Attach gradient kernels to a compiled function.

    Args:
        forward: Compiled function `(*tensors) -> output`.
        gradients: Functions `(*tensors, upstream) -> gradient`, one with respect to each
            tensor. In a graph those that nobody asks for are pruned.

    Returns:
        A function `(*tensors) -> output`, differentiable once. On backends other than
        TensorFlow `forward` itself, which they differentiate.
    """
    if keras.backend.backend() != "tensorflow":
        return forward

    import tensorflow as tf

    @tf.custom_gradient
    def call(*tensors):
        def gradient(upstream):
            return [kernel(*tensors, upstream) for kernel in gradients]

        return forward(*tensors), gradient

    return call
