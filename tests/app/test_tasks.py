"""The tasks from the command line, on files as users have them."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from nets.ops.folding import folding_percent

ROOT = Path(__file__).resolve().parents[2]


def test_help_is_quick_and_lists_the_tasks(shell):
    """A help that loads TensorFlow makes users wait five seconds for a typo."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = shell("--help")
        seconds.append(time.perf_counter() - started)
    assert done.returncode == 0
    for task in ("hypermorph", "register", "evaluate", "export", "doctor"):
        assert task in done.stdout
    assert len(done.stdout.splitlines()) <= 24
    assert min(seconds) < 0.5


def test_doctor_tells_versions_and_data(main):
    """'Which TensorFlow, which Keras?' is the field's most repeated question."""
    done = main("doctor")
    assert done.returncode == 0
    for word in ("tensorflow: 2.21.0", "keras: 3.15.1", "memory:", "data folder:", "devices: CPU"):
        assert word in done.stdout


def test_dry_run_tells_size_and_time_and_writes_nothing(main, small_config, tmp_path):
    """A dry run that leaves files behind is no dry run."""
    output = tmp_path / "run"
    done = main("hypermorph", "--config", small_config, "--set", f"output={output}", "--dry-run")
    assert done.returncode == 0, done.stderr
    for word in ("epochs: 3", "8 subjects (train 4, validate 2, test 2)", "parameters", "GiB", "s per step"):
        assert word in done.stdout
    assert not output.exists()


def test_run_folder_is_complete(trained):
    """A run without its config, versions or figures cannot be repeated or shown."""
    for name in (
        "config.yaml",
        "environment.json",
        "log.txt",
        "history.csv",
        "metrics.csv",
        "metrics.json",
        "model.keras",
        "model.json",
        "report.html",
        "checkpoints/last.keras",
        "figures/over_lambda.png",
        "figures/structures.png",
        "figures/training.png",
        "figures/example_best.png",
    ):
        assert (trained / name).stat().st_size > 0, name
    assert list((trained / "tensorboard").rglob("events*"))
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert [entry["hyper"]["lambda"] for entry in metrics["over_hyper"]] == [0.0, 0.5, 1.0]
    assert len(metrics["structures_at_best"]) == 8
    with open(trained / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 2 * 3
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64" in page
    assert 'src="http' not in page


def test_finished_run_is_not_trained_again(main, small_config, trained):
    """The same command twice must not cost the training twice, nor change the model."""
    before = (trained / "checkpoints" / "last.keras").read_bytes()
    done = main("hypermorph", "--config", small_config, "--set", f"output={trained}")
    assert done.returncode == 0, done.stderr
    assert "training is complete" in done.stdout
    assert (trained / "checkpoints" / "last.keras").read_bytes() == before


@pytest.fixture(scope="module")
def registered(main, phantoms, trained, tmp_path_factory):
    """A registration of two phantoms on an oblique grid, from the command line."""
    folder = tmp_path_factory.mktemp("register")
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [20, -35, 100], degrees=True).as_matrix() * [1.8, 2.0, 2.3]
    turn[:3, 3] = 5, -7, 11
    files = {}
    for name, number in (("moving", 0), ("fixed", 1)):
        for kind, key in (("image", name), ("labels", f"{name}_labels")):
            source = nibabel.load(phantoms.parent / kind / f"phantom-00{number}.nii.gz")
            array = np.asarray(source.dataobj)[:, :-3, 1:]
            image = nibabel.Nifti1Image(array, turn)
            image.header["descrip"] = b"header of " + name.encode()
            files[key] = folder / f"{key}.nii.gz"
            nibabel.save(image, files[key])
    config = folder / "register.yaml"
    lines = [f"{key}: {path}" for key, path in files.items()]
    config.write_text("\n".join(["task: register", f"output: {folder / 'out'}", f"model: {trained}", *lines]))
    done = main("register", "--config", config, "--set", "hyper.lambda=0.1")
    assert done.returncode == 0, done.stderr
    return folder / "out", files


def test_moved_image_has_the_fixed_images_header(registered):
    """An image on another grid, or another header, does not load over the fixed one."""
    folder, files = registered
    fixed, moved = nibabel.load(files["fixed"]), nibabel.load(folder / "moved.nii.gz")
    np.testing.assert_allclose(moved.affine, fixed.affine)
    assert moved.shape == fixed.shape
    assert bytes(moved.header["descrip"]).startswith(b"header of fixed")
    assert moved.get_data_dtype() == np.uint8


def test_displacement_works_in_itk(registered):
    """The file, applied by ITK, must move the image as we did: axes, signs, millimetres."""
    folder, files = registered
    field = SimpleITK.ReadImage(str(folder / "displacement.nii.gz"), SimpleITK.sitkVectorFloat64)
    moving = SimpleITK.ReadImage(str(files["moving"]), SimpleITK.sitkFloat32)
    fixed = SimpleITK.ReadImage(str(files["fixed"]), SimpleITK.sitkFloat32)
    transform = SimpleITK.DisplacementFieldTransform(field)
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.Resample(moving, fixed, transform, SimpleITK.sitkLinear)).T
    ours = np.asarray(nibabel.load(folder / "moved.nii.gz").dataobj).astype("float32")
    inner = np.s_[3:-3, 3:-3, 3:-3]
    assert np.abs(theirs[inner] - ours[inner]).max() <= 0.75


def test_registration_figures(registered):
    """Folding, overlap and similarity must be those of the files written beside them."""
    folder, files = registered
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    warp = nibabel.load(folder / "displacement.nii.gz")
    in_mm = np.asarray(warp.dataobj)[:, :, :, 0] * [-1, -1, 1]  # ITK's LPS to RAS
    displacement = in_mm @ np.linalg.inv(warp.affine[:3, :3]).T
    assert metrics["folding_percent"] == pytest.approx(folding_percent(displacement))
    labels = [
        np.asarray(nibabel.load(path).dataobj) for path in (folder / "moved_labels.nii.gz", files["fixed_labels"])
    ]
    a, b = (label == 2 for label in labels)
    assert metrics["dice"]["2"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert metrics["hyper"] == {"lambda": 0.1}


def test_evaluate_agrees_with_training(main, trained, phantoms, tmp_path):
    """The same model on the same pairs must give the figures of its own report."""
    config = tmp_path / "evaluate.yaml"
    config.write_text(
        f"task: evaluate\noutput: {tmp_path / 'out'}\nmodel: {trained}\nhyper: [{{lambda: 0.0}}, {{lambda: 0.5}}]\n"
        f"data:\n  cohort: {phantoms}\n  pairs: 2\n  split: {{train: 4, validate: 2, test: 2}}\n"
    )
    done = main("evaluate", "--config", config)
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["over_hyper"]
        for folder in (tmp_path / "out", trained)
    )
    for entry, expected in zip(ours, theirs[:2], strict=True):
        for name in ("dice", "hd95_mm", "folding_percent", "sdlogj"):
            assert entry[name] == pytest.approx(expected[name], abs=1e-4)


def test_export_serves_any_size(shell, trained, tmp_path):
    """The SavedModel must answer without this project, by name, at sizes never seen."""
    config = tmp_path / "export.yaml"
    config.write_text(f"task: export\noutput: {tmp_path / 'servable'}\nmodel: {trained}\n")
    (tmp_path / "servable" / "1").mkdir(parents=True)  # an earlier version
    done = shell("export", "--config", config)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "servable" / "2" / "saved_model.pb").is_file()
    assert not list((tmp_path / "servable" / "1").iterdir()), "an earlier version was written over"
    difference = float(done.stdout.split("largest difference ")[1])
    assert difference < 1e-4
    script = f"""
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load({str(tmp_path / "servable" / "2")!r})
signature = loaded.signatures["register"]
assert set(signature.structured_input_signature[1]) == {{"moving", "fixed", "hyper"}}
image = tf.random.uniform((1, 21, 17, 30, 1)) * 900.0
out = signature(moving=image, fixed=image, hyper=tf.constant([[0.5]]))
assert set(out) == {{"moved", "displacement"}}, out
assert out["displacement"].shape == (1, 21, 17, 30, 3)
zero = loaded.signatures["warp"](volume=image, displacement=tf.zeros((1, 21, 17, 30, 3)))
np.testing.assert_allclose(zero["moved"], image)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not [path for path in (tmp_path / "servable").iterdir() if path.name.startswith(".")]
