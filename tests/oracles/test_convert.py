"""Files written by the original package, converted: the same answers, gradients, and refusals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from app.data.official import read_official
from app.export.verify_official import seeded_pair
from nets.legacy import OfficialVoxelMorph, load_official_weights
from nets.legacy_architecture import read_architecture

CHILD = Path(__file__).with_name("official_file.py")


WIDTHS = [[4, 6], [6, 4, 4]]


SMALL = {"inshape": [16, 24, 8], "nb_unet_features": WIDTHS}


# The last of each is the first of the seeds to try: at these no rounding decides a gradient.
JOBS = {
    "default": ("VxmDense", SMALL, 8),
    "flat": ("VxmDense", {**SMALL, "inshape": [16, 24]}, 1),
    "int_downsize": ("VxmDense", {**SMALL, "int_downsize": 2, "unet_half_res": True}, 0),
    "bidirectional": ("VxmDense", {**SMALL, "bidir": True, "int_resolution": 1}, 6),
    "probabilistic": ("VxmDense", {**SMALL, "use_probs": True, "svf_resolution": 2}, 2),
    "no_integration": ("VxmDense", {**SMALL, "int_steps": 0}, 6),
    "quarter": ("VxmDense", {**SMALL, "svf_resolution": 2, "int_resolution": 4, "fill_value": 0.5}, 3),
    "levels": (
        "VxmDense",
        {
            "inshape": [16, 16],
            "nb_unet_features": 4,
            "nb_unet_levels": 3,
            "unet_feat_mult": 2,
            "nb_unet_conv_per_level": 2,
        },
        1,
    ),
    "warp": ("VxmDense", {**SMALL, "reg_field": "warp", "name": "mine"}, 8),
    "segmented": ("VxmDenseSemiSupervisedSeg", {**SMALL, "nb_labels": 3}, 8),
    "hyper": ("HyperVxmDense", {**SMALL, "nb_hyp_units": 8}, 7),
    "hyper_two": (
        "HyperVxmDense",
        {**SMALL, "nb_hyp_params": 2, "nb_hyp_layers": 2, "nb_hyp_units": 5, "svf_resolution": 2},
        0,
    ),
}


@pytest.fixture(scope="session")
def official(tmp_path_factory):
    """A folder of official files, pairs, answers and gradients."""
    folder = tmp_path_factory.mktemp("official")
    jobs = json.dumps([[name, *job] for name, job in JOBS.items()])
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, CHILD, jobs, folder],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def convert(path):
    class_name, options, weights = read_official(path)
    architecture = read_architecture(class_name, options)
    names = [{"name": "lambda"}, {"name": "gamma"}][: architecture.hyper]
    model = OfficialVoxelMorph(architecture, names)
    load_official_weights(model, weights)
    return model


@pytest.mark.parametrize("name", list(JOBS))
def test_converted_models_answer_like_the_originals(official, name):
    """Whoever trained a model there must trust that nothing changed here."""
    model = convert(official / f"{name}.h5")
    pair = dict(np.load(official / f"{name}.npz"))
    weights = pair.pop("weights")
    answers = dict(np.load(official / f"{name}_answers.npz"))
    ours = model(pair)
    assert set(ours) == set(answers)
    assert np.abs(answers["displacement"]).max() > 0.1
    for key, value in answers.items():
        np.testing.assert_allclose(keras.ops.convert_to_numpy(ours[key]), value, atol=1e-5, rtol=1e-5, err_msg=key)

    import tensorflow as tf

    with tf.GradientTape() as tape:
        moved = model(pair)["moved"]
        total = tf.reduce_sum(moved * weights[tuple(slice(0, n) for n in moved.shape)])
    found = tape.gradient(total, model.trainable_weights)
    layers = {}
    for key, value in np.load(official / f"{name}_gradients.npz").items():
        layer, weight = key.split("/")[-2:]
        layers.setdefault(layer, {})[weight] = value
    for layer, arrays in read_official(official / f"{name}.h5")[2].items():
        if layer not in layers:  # the log-variance does not act on the moved image without the noise
            layers[layer] = {weight: np.zeros_like(array) for weight, array in arrays.items()}
    load_official_weights(model, layers)
    for ours_gradient, weight in zip(found, model.trainable_weights, strict=True):
        theirs = keras.ops.convert_to_numpy(weight)
        ours_gradient = np.zeros_like(theirs) if ours_gradient is None else ours_gradient
        # Sums in another order: 1e-4 of the gradient's own size. `official_file` kept away from kinks.
        atol = 1e-4 * max(np.abs(theirs).max(), 0.1)
        np.testing.assert_allclose(ours_gradient, theirs, atol=atol)


def test_a_converted_model_is_saved_and_goes_on_training(official, tmp_path):
    """A converted model that cannot be saved or trained is a dead end."""
    model = convert(official / "hyper.h5")
    pair = {key: value for key, value in np.load(official / "hyper.npz").items() if key != "weights"}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict_on_batch(pair)["moved"], model.predict_on_batch(pair)["moved"])
    moving, fixed = seeded_pair(SMALL["inshape"], 0)
    pair |= {"moving": moving[None], "fixed": fixed[None]}
    loaded.compile(keras.optimizers.Adam(1e-3))
    losses = loaded.fit(pair, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.01


def test_convert_from_the_command_line(official, phantoms, tmp_path, main):
    """File in, model and SavedModel out, verified against the original; then used by `register`."""
    config = tmp_path / "convert.yaml"
    config.write_text(f"task: convert\nfile: {official / 'default.h5'}\noutput: {tmp_path / 'out'}\nverify: true\n")
    done = main("convert", "--config", config)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["difference_from_original"]) == {"moved", "displacement", "velocity"}
    assert max(metrics["difference_from_original"].values()) < 1e-5
    assert (
        f"largest difference from VoxelMorph 0.2: {max(metrics['difference_from_original'].values()):.1e}"
        in done.stdout
    )
    assert (tmp_path / "out" / "saved_model" / "1" / "saved_model.pb").is_file()
    assert (tmp_path / "out" / "report.html").is_file()

    import nibabel

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        nibabel.save(nibabel.Nifti1Image(rng.random((17, 21, 9), "float32"), np.eye(4)), tmp_path / f"{name}.nii.gz")
    words = {"task": "register", "model": tmp_path / "out", "moving": tmp_path / "a.nii.gz"}
    words |= {"fixed": tmp_path / "b.nii.gz", "output": tmp_path / "pair"}
    config.write_text("".join(f"{key}: {value}\n" for key, value in words.items()))
    done = main("register", "--config", config)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pair" / "moved.nii.gz").is_file()
    config.write_text(
        f"task: evaluate\noutput: {tmp_path / 'cohort'}\nmodel: {tmp_path / 'out'}\nprecision: bfloat16\n"
        f"data: {{cohort: {phantoms}, pairs: 2}}\nsubjects: all\n"
    )
    done = main("evaluate", "--config", config)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "cohort" / "metrics.json").read_text(encoding="utf-8"))["at_best"]["dice"] > 0


def bad_files(official, folder):
    """Files that cannot be converted, and what must be said."""
    import h5py

    (folder / "text.h5").write_text("not a model")
    with h5py.File(folder / "weights.h5", "w") as file:
        file["conv3d_1/conv3d_1/kernel:0"] = np.zeros((3, 3, 3, 2, 16))
    with h5py.File(official / "default.h5") as good, h5py.File(folder / "short.h5", "w") as file:
        file.attrs["model_config"] = good.attrs["model_config"]
        good.copy("model_weights", file)
        del file["model_weights/vxm_dense_flow"]
    with h5py.File(folder / "other.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"layers": []}})
    return {
        "none.h5": "no such file",
        "text.h5": "not a readable HDF5 file",
        "weights.h5": "conv3d_1 [3, 3, 3, 2, 16]",
        "short.h5": "*_flow: 0 in the file",
        "other.h5": "found class Functional",
    }


def test_files_that_are_no_models_are_refused(official, tmp_path, main):
    """One line that tells what was found, exit code 2, and nothing written."""
    config = tmp_path / "convert.yaml"
    for name, message in bad_files(official, tmp_path).items():
        config.write_text(f"task: convert\nfile: {tmp_path / name}\noutput: {tmp_path / 'out'}\n")
        done = main("convert", "--config", config)
        assert done.returncode == 2, (name, done.stderr)
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()


def test_hyper_parameters_are_named_as_many_as_there_are(official, tmp_path, main):
    """A column of the input without a name could not be set by anyone."""
    config = tmp_path / "convert.yaml"
    config.write_text(f"task: convert\nfile: {official / 'hyper_two.h5'}\noutput: {tmp_path / 'out'}\n")
    done = main("convert", "--config", config)
    assert done.returncode == 2
    assert "has 2 hyper-parameters" in done.stderr
    both = "hyper=[{name: lambda}, {name: gamma, low: 0.1, high: 0.9}]"
    done = main("convert", "--config", config, "--set", both)
    assert done.returncode == 0, done.stderr
    contract = json.loads((tmp_path / "out" / "model.json").read_text(encoding="utf-8"))
    assert contract["hyper"] == {"lambda": [0.0, 1.0], "gamma": [0.1, 0.9]}
