"""SavedModels: the one place that knows TensorFlow's export."""

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from app.errors import UserError
from app.finite import check_finite
from app.training.run_lock import locked_folder

CHECK = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()  # ends with who asks
import numpy as np
import tensorflow as tf
folder, data, *names = sys.argv[1:]
inputs = dict(np.load(data))
loaded = tf.saved_model.load(folder)
kept = {}
for name in names:
    signature = loaded.signatures[name]
    wanted = signature.structured_input_signature[1]
    for key, value in signature(**{key: tf.constant(inputs[key]) for key in wanted}).items():
        kept[name + "/" + key] = value.numpy()
assert not any(module.split(".")[0] in ("nets", "app") for module in sys.modules)
np.savez(data, **kept)
"""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A signature of a SavedModel; all its inputs and outputs are float32.

    Args:
        function: Of tensors, in the order of `shapes`, to a dict of tensors.
        shapes: Dict from input to its shape, None where any size is taken.
        samples: Dict from input to an array with which the exported model is checked.
    """

    function: object
    shapes: dict
    samples: dict

    @property
    def specs(self):
        """`tf.TensorSpec` of each input."""
        import tensorflow as tf

        return [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in self.shapes.items()]


def traced_once(function):
    """A function of tensors that several endpoints share: TensorFlow traces it once for all."""
    import tensorflow as tf

    return tf.function(function, autograph=False)


def export_model(model, contract, base, endpoints):
    """Write a model as the next version of a SavedModel, checked in a fresh process.

    Args:
        model: Keras model.
        contract: Its contract; what is exported names no subject of the training.
        base: Folder of the servable; versions are its subfolders 1, 2, ...
        endpoints: Dict from signature to `Endpoint`.

    Returns:
        Path of the new version, and the largest difference between its answers in a process that imports TensorFlow
        alone and the model's here.

    Raises:
        UserError: If the backend is not TensorFlow.
        RuntimeError: If the check fails; nothing is left behind then.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError("export: a SavedModel needs Keras' TensorFlow backend; unset KERAS_BACKEND")
    import tensorflow as tf

    base = Path(base).absolute()
    new = not base.exists()
    with locked_folder(base, "export.lock"):
        for litter in base.glob(".part-*"):  # of an export that was killed
            shutil.rmtree(litter)
        version = 1 + max((int(path.name) for path in base.iterdir() if path.name.isdigit()), default=0)
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=base))
        try:
            _write(model, endpoints, temporary)
            difference = _check(endpoints, temporary)
            contract.without_names().write(temporary / "assets.extra" / "model.json")
            temporary.chmod(0o755)
            temporary.rename(base / str(version))
        except BaseException as error:
            shutil.rmtree(base if new else temporary, ignore_errors=True)
            if isinstance(error, tf.errors.OpError):
                raise UserError(
                    f"{base}: the SavedModel cannot be written ({error.message[:120]}); free space or choose another "
                    "folder"
                ) from None
            raise
    return base / str(version), difference


def _write(model, endpoints, folder):
    import keras
    import tensorflow as tf

    from nets.ops.compiled import portable_kernels

    archive = keras.export.ExportArchive()
    archive.track(model)
    with portable_kernels():
        for name, endpoint in endpoints.items():
            archive.add_endpoint(name, endpoint.function, endpoint.specs)
        # Servers take no gradients; tracing them would double the time that an export takes.
        without_gradients = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        archive.write_out(str(folder), options=without_gradients, verbose=False)


def _check(endpoints, folder):
    """Largest difference from the answers here, in voxels, intensities or probabilities."""
    import tensorflow as tf

    data = folder / "check.npz"
    np.savez(data, **{name: array for endpoint in endpoints.values() for name, array in endpoint.samples.items()})
    command = [sys.executable, "-c", CHECK, str(folder), str(data), *endpoints]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=folder, **pipes) as child:
        errors = child.stderr.read()  # meanwhile its standard input stays open: it ends when that is closed
    if child.returncode and os.strerror(errno.ENOSPC) in errors:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if child.returncode:
        raise RuntimeError(f"the exported model failed in a fresh process:\n{errors[-2000:]}")
    answers = dict(np.load(data))
    data.unlink()
    worst = 0.0
    for name, endpoint in endpoints.items():
        inputs = [tf.constant(endpoint.samples[key]) for key in endpoint.shapes]
        for key, value in endpoint.function(*inputs).items():
            apart = np.abs(answers[f"{name}/{key}"] - check_finite(np.asarray(value), f"the network's {key}"))
            worst = max(worst, float(check_finite(apart, f"the exported network's {key}").max()))
    if worst > 1e-3:
        raise RuntimeError(f"the exported model's answers differ by {worst} from the model's")
    return worst
