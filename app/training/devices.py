"""Several devices of one machine: the one place that knows TensorFlow's distribution."""

import contextlib

from app.errors import UserError
from app.training.run_folder import log


@contextlib.contextmanager
def replicated(replicas):
    """Models made and trained within this context are mirrored, each batch shared out.

    Without a GPU the processor is divided into as many logical devices: no gain, but the same
    code. TensorFlow must not have been used before in that case.

    Args:
        replicas: Number of devices; 1 leaves everything as it is.

    Raises:
        UserError: If there are fewer GPUs than that, or the backend is not TensorFlow.
    """
    if replicas == 1:
        yield
        return
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError("training.replicas: needs Keras' TensorFlow backend; unset KERAS_BACKEND or set it to 1")
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus and len(gpus) < replicas:
        raise UserError(f"training.replicas: {replicas}, but this machine has {len(gpus)} GPUs; set it to that")
    if not gpus:
        log(f"no GPU: {replicas} logical devices on the processor, which trains no faster")
        logical = [tf.config.LogicalDeviceConfiguration()] * replicas
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    kind = "GPU" if gpus else "CPU"
    strategy = tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(replicas)])
    with strategy.scope():
        yield
