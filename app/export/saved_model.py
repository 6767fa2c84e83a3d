"""SavedModels: the one place that knows TensorFlow's export.

Signatures, each with named inputs and outputs, any spatial size and any batch size:
`register`, `displacement`, `warp`. Images go in with their own intensities; the rule of
training is applied within.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from app.errors import UserError

CHECK = """
import sys
import numpy as np
import tensorflow as tf
folder, data = sys.argv[1:]
inputs = dict(np.load(data))
loaded = tf.saved_model.load(folder)
kept = {}
for name in ("register", "displacement", "warp"):
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
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError("export: a SavedModel needs Keras' TensorFlow backend; unset KERAS_BACKEND")
    import tensorflow as tf

    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    version = 1 + max((int(path.name) for path in base.iterdir() if path.name.isdigit()), default=0)
    temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=base))
    try:
        endpoints = _write(model, contract, temporary)
        difference = _check(model, contract, endpoints, temporary)
        contract.write(temporary / "assets.extra" / "model.json")
        temporary.chmod(0o755)
        temporary.rename(base / str(version))
    except tf.errors.OpError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"{base}: the SavedModel cannot be written ({error.message[:120]}); free space or choose another folder"
        ) from None
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return base / str(version), difference


def _write(model, contract, folder):
    import keras
    import tensorflow as tf

    from nets.ops.compiled import portable_kernels
    from nets.ops.intensity import to_unit_range
    from nets.ops.sample import sample

    rank = len(contract.shape)
    rule = (contract.low_percentile, contract.high_percentile)

    def infer(moving, fixed, *hyper):
        x = {"moving": to_unit_range(moving, *rule), "fixed": to_unit_range(fixed, *rule)}
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
    archive = keras.export.ExportArchive()
    archive.track(model)
    with portable_kernels():
        archive.add_endpoint("register", register, pair)
        archive.add_endpoint("displacement", displacement, pair)
        archive.add_endpoint("warp", warp, [spec("volume", 1), spec("displacement", rank)])
        archive.write_out(str(folder), verbose=False)
    return {"register": register, "displacement": displacement, "warp": warp}


def _check(model, contract, endpoints, folder):
    """Largest difference, at an odd size and a batch of two, in voxels or intensities."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape = (2, *(19 + 2 * axis for axis in range(len(contract.shape))), 1)
    inputs = {name: rng.random(shape, dtype="float32") for name in ("moving", "fixed", "volume")}
    inputs["displacement"] = rng.normal(size=(*shape[:-1], len(contract.shape))).astype("float32")
    if contract.hyper:
        inputs["hyper"] = np.array(list(contract.hyper.values()), "float32").T.copy()
    data = folder / "check.npz"
    np.savez(data, **inputs)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(folder), str(data)], capture_output=True, text=True, cwd=folder
    )
    if done.returncode:
        raise RuntimeError(f"the exported model failed in a fresh process:\n{done.stderr[-2000:]}")
    answers = dict(np.load(data))
    data.unlink()
    worst = 0.0
    for name, function in endpoints.items():
        pair = ("moving", "fixed", *(["hyper"] if contract.hyper else []))
        wanted = {"warp": ("volume", "displacement")}.get(name, pair)
        for key, value in function(*(tf.constant(inputs[key]) for key in wanted)).items():
            worst = max(worst, float(np.abs(answers[f"{name}/{key}"] - np.asarray(value)).max()))
    if worst > 1e-3:
        raise RuntimeError(f"the exported model's answers differ by {worst} from the model's")
    return worst
