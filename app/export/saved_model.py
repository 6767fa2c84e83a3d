"""SavedModels: the one place that knows TensorFlow's export.

Signatures, each with named inputs and outputs, any batch size. Registration, any spatial size:
`register`, `displacement`, `warp`; images go in with their own intensities, the rule of training is
applied within. Field of view: `classify`, slices to calibrated probabilities.
"""

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


def export_model(model, contract, base):
    """Write a model as the next version of a SavedModel, checked in a fresh process.

    Args:
        model: A registration model: `HyperMorph`, `OfficialVoxelMorph`.
        contract: `Contract` of the model.
        base: Folder of the servable; versions are its subfolders 1, 2, ...

    Returns:
        Path of the new version, and the largest difference between its answers in a
        process that imports TensorFlow alone and the model's here.

    Raises:
        UserError: If the backend is not TensorFlow.
        RuntimeError: If the check fails; nothing is left behind then.
    """
    return _export(model, contract, base, *_registration(model, contract))


def export_classifier(model, contract, base):
    """Write a slice classifier as the next version of a SavedModel, checked in a fresh process.

    Its signature `classify` takes `slices`, `(batch, size, size, channels)` in [0, 1] as `axial_stack` makes
    them, and gives `probabilities`, `(batch, classes)`, calibrated.

    Args:
        model: `SliceClassifier`.
        contract: `FovContract` of the model.
        base: As for `export_model`.

    Returns:
        As `export_model`.

    Raises:
        UserError: If the backend is not TensorFlow.
        RuntimeError: If the check fails; nothing is left behind then.
    """
    import keras
    import tensorflow as tf

    def classify(slices):
        return {"probabilities": keras.ops.softmax(model({"slices": slices}, training=False) / temperature)}

    temperature = contract.decision.temperature
    shape = (contract.size, contract.size, 2 * contract.context + 1)
    endpoints = {"classify": (classify, [tf.TensorSpec((None, *shape), tf.float32, name="slices")])}
    inputs = {"slices": np.random.default_rng(0).random((2, *shape), dtype="float32")}
    return _export(model, contract, base, endpoints, inputs)


def export_segmentation(model, contract, base):
    """Write a segmentation network as the next version of a SavedModel, checked in a fresh process.

    Its signature `segment` takes `image`, `(batch, i, j, k, 1)` in [0, 1] as `app.data.cube` makes it, sizes
    divisible by 8, and gives `probability`, of the same shape.

    Args:
        model: `SegmentationUNet` or `AdaptedUNet`.
        contract: `KidneyContract` of the model.
        base: As for `export_model`.

    Returns:
        As `export_model`.

    Raises:
        UserError: If the backend is not TensorFlow.
        RuntimeError: If the check fails; nothing is left behind then.
    """
    import keras
    import tensorflow as tf

    def segment(image):
        return {"probability": keras.ops.sigmoid(model({"image": image}, training=False))}

    endpoints = {"segment": (segment, [tf.TensorSpec((None, None, None, None, 1), tf.float32, name="image")])}
    inputs = {"image": np.random.default_rng(0).random((2, *(contract.size,) * 3, 1), dtype="float32")}
    return _export(model, contract, base, endpoints, inputs)


def export_template(model, contract, base):
    """Write a `TemplateNetwork`, or the U-Net it is compared with, as a SavedModel, checked in a fresh process.

    Its signature `segment` takes `image`, `(batch, size, size, size, 1)` in [0, 1] as `app.data.cube` makes it, and
    gives `logits`, `(batch, size, size, size, structures)`, and of a deformed template `displacement`. It neither
    refines nor holds a local field back that folds, as `predict` does.

    Args:
        model: Keras model.
        contract: `TemplateContract`.
        base: As for `export_model`.

    Returns:
        As `export_model`.

    Raises:
        UserError: If the backend is not TensorFlow.
        RuntimeError: If the check fails; nothing is left behind then.
    """
    import tensorflow as tf

    def segment(image):
        found = model({"image": image}, training=False)
        if not isinstance(found, dict):
            return {"logits": found}
        return {"logits": found["mask"], "displacement": found["displacement"]}

    shape = (contract.size,) * 3
    endpoints = {"segment": (segment, [tf.TensorSpec((None, *shape, 1), tf.float32, name="image")])}
    inputs = {"image": np.random.default_rng(0).random((2, *shape, 1), dtype="float32")}
    return _export(model, contract, base, endpoints, inputs)


def _export(model, contract, base, endpoints, inputs):
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
            difference = _check(endpoints, inputs, temporary)
            contract.write(temporary / "assets.extra" / "model.json")
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
        for name, (function, specs) in endpoints.items():
            archive.add_endpoint(name, function, specs)
        # Servers take no gradients; tracing them would double the time that an export takes.
        without_gradients = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        archive.write_out(str(folder), options=without_gradients, verbose=False)


def _registration(model, contract):
    """Endpoints of a registration model, and inputs of an odd size and a batch of two to check them with."""
    import tensorflow as tf

    from nets.ops.intensity import to_unit_range
    from nets.ops.sample import sample

    rank = len(contract.shape)
    rule = contract.intensity_rule.model_dump()

    @tf.function(autograph=False)  # traced once for both signatures
    def infer(moving, fixed, *hyper):
        x = {"moving": to_unit_range(moving, **rule), "fixed": to_unit_range(fixed, **rule)}
        if hyper:
            x["hyper"] = hyper[0]
        return model(x, training=False)["displacement"]

    def register(moving, fixed, *hyper):
        field = infer(moving, fixed, *hyper)
        return {"moved": sample(moving, field), "displacement": field}

    def displacement(moving, fixed, *hyper):
        return {"displacement": infer(moving, fixed, *hyper)}

    def warp(volume, displacement):
        return {
            "moved": sample(volume, displacement),
            "moved_nearest": sample(volume, displacement, "nearest"),
        }

    def spec(name, channels):
        return tf.TensorSpec((None, *[None] * rank, channels), tf.float32, name=name)

    pair = [spec("moving", 1), spec("fixed", 1)]
    if contract.hyper:
        pair.append(tf.TensorSpec((None, len(contract.hyper)), tf.float32, name="hyper"))
    endpoints = {
        "register": (register, pair),
        "displacement": (displacement, pair),
        "warp": (warp, [spec("volume", 1), spec("displacement", rank)]),
    }
    rng = np.random.default_rng(0)
    shape = (2, *(19 + 2 * axis for axis in range(rank)), 1)
    inputs = {name: rng.random(shape, dtype="float32") for name in ("moving", "fixed", "volume")}
    inputs["displacement"] = rng.normal(size=(*shape[:-1], rank)).astype("float32")
    if contract.hyper:
        inputs["hyper"] = np.array(list(contract.hyper.values()), "float32").T.copy()
    return endpoints, inputs


def _check(endpoints, inputs, folder):
    """Largest difference from the answers here, in voxels, intensities or probabilities."""
    import tensorflow as tf

    data = folder / "check.npz"
    np.savez(data, **inputs)
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
    for name, (function, specs) in endpoints.items():
        for key, value in function(*(tf.constant(inputs[spec.name]) for spec in specs)).items():
            apart = np.abs(answers[f"{name}/{key}"] - check_finite(np.asarray(value), f"the network's {key}"))
            worst = max(worst, float(check_finite(apart, f"the exported network's {key}").max()))
    if worst > 1e-3:
        raise RuntimeError(f"the exported model's answers differ by {worst} from the model's")
    return worst
