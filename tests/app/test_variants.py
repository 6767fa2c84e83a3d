"""Other shapes of a training from the command line: labels in the loss, 2D, no labels, globs."""

import json
import zipfile

import nibabel
import numpy as np
import pytest


def test_two_hyper_parameters_with_labels(main, small_config, phantoms, tmp_path):
    """Semi-supervised training over lambda and gamma, its map, and a registration by both values."""
    output = tmp_path / "run"
    hyper = "hyper=[{name: lambda}, {name: gamma, low: 0.1, high: 0.9}]"
    extra = ["--set", hyper, "--set", "training.batch_size=2", "--set", "network.generator=low_rank"]
    done = main("hypermorph", "--config", small_config, "--set", f"output={output}", *extra)
    assert done.returncode == 0, done.stderr
    assert "overlap" in (output / "history.csv").read_text(encoding="utf-8").splitlines()[0]
    assert (output / "figures" / "map.png").is_file()
    over = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["over_hyper"]
    assert {(entry["hyper"]["lambda"], entry["hyper"]["gamma"]) for entry in over} == {
        (a, b) for a in (0.0, 0.5, 1.0) for b in (0.1, 0.5, 0.9)
    }
    evaluate = tmp_path / "evaluate.yaml"
    evaluate.write_text(
        f"task: evaluate\noutput: {tmp_path / 'out'}\nmodel: {output}\ndata: {{cohort: {phantoms}, pairs: 2}}\n"
        "subjects: all\nhyper: [{lambda: 0.1, gamma: 0.2}, {lambda: 0.4}, {}, {}]\n"
    )
    done = main("evaluate", "--config", evaluate)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["over_hyper"]) == 3


def test_plain_voxelmorph(main, small_config, phantoms, tmp_path):
    """Whoever keeps a VoxelMorph pipeline trains without hyper-parameters, and all other tasks take the model."""
    output = tmp_path / "run"
    words = ["--set", f"output={output}", "--set", "hyper=[]", "--set", "objective.lambda=0.2"]
    assert main("hypermorph", "--config", small_config, *words, "--dry-run").returncode == 0
    done = main("hypermorph", "--config", small_config, *words)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(output / "model.keras") as archive:
        assert json.loads(archive.read("config.json"))["class_name"] == "VoxelMorph"
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert [entry["hyper"] for entry in metrics["over_hyper"]] == [{}]
    assert metrics["best"] == {}
    assert (output / "figures" / "example_best.png").is_file()
    assert " at <" not in (output / "report.html").read_text(encoding="utf-8")
    images = [phantoms.parent / "image" / f"phantom-00{number}.nii.gz" for number in (0, 1)]
    pair = [f"output={tmp_path / 'out'}", f"model={output}", f"moving={images[0]}", f"fixed={images[1]}"]
    done = main("register", *(word for part in pair for word in ("--set", part)))
    assert done.returncode == 0, done.stderr
    done = main(
        "register",
        *(word for item in [f"output={tmp_path / 'other'}", *pair[1:], "hyper.lambda=0.2"] for word in ("--set", item)),
    )
    assert done.returncode == 2
    assert "the model has no such hyper-parameter" in done.stderr
    done = main("evaluate", "--set", f"output={tmp_path / 'measured'}", "--set", f"model={output}")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def slices(phantoms, tmp_path):
    """A 2D cohort without labels: middle slices of the phantoms, shapes that vary."""
    for number in range(6):
        image = nibabel.load(phantoms.parent / "image" / f"phantom-{number:03d}.nii.gz")
        array = np.asarray(image.dataobj)[:, : 22 + number % 2, 12]
        nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 2, 2, 1])), tmp_path / f"s{number}.nii.gz")
    return tmp_path / "s*.nii.gz"


def test_slices_without_labels(main, slices, tmp_path):
    """Users without labels still get a model, its pictures, and a say in lambda."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""
task: hypermorph
output: {tmp_path / "run"}
data:
  images: "{slices}"
  shape: [25, 23]
  low_percentile: 1
  high_percentile: 99.5
  split: {{train: 2, validate: 2, test: 2}}
  pairs: 2
network: {{rank: 2, features: images, generator: full, encoder: [4, 4], decoder: [4, 4], final: [4], units: 8}}
objective: {{similarity: nmi}}
hyper: [{{name: lambda, low: 0.01, high: 0.99, sampling: log_odds}}, {{name: nmi_bins, low: 8, high: 32}}]
training: {{epochs: 1, steps: 3, batch_size: 2, hyper_per: batch}}
evaluation: {{values: 2}}
"""
    )
    done = main("hypermorph", "--config", config)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "model.json").read_text(encoding="utf-8"))["best"] == {}
    assert "nothing says which value is best" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")

    register = tmp_path / "register.yaml"
    images = [tmp_path / f"s{number}.nii.gz" for number in (0, 2)]
    register.write_text(
        f"task: register\noutput: {tmp_path / 'out'}\nmodel: {tmp_path / 'run'}\n"
        f"moving: {images[0]}\nfixed: {images[1]}\nhyper: {{lambda: 0.5}}\n"
    )
    done = main("register", "--config", register)
    assert done.returncode == 2
    assert "nmi_bins: missing" in done.stderr
    done = main("register", "--config", register, "--set", "hyper.nmi_bins=16")
    assert done.returncode == 0, done.stderr
    field = nibabel.load(tmp_path / "out" / "displacement.nii.gz")
    assert field.shape == (24, 22, 1, 1, 2)


def test_several_devices_train_the_same_model(main, shell, small_config, tmp_path):
    """Two devices that do not sum their gradients rightly would train another model, silently."""
    histories = []
    for replicas in (1, 2):
        output = tmp_path / str(replicas)
        words = [f"output={output}", "training.batch_size=2", f"training.replicas={replicas}", "training.epochs=2"]
        done = shell("hypermorph", "--config", small_config, *(part for word in words for part in ("--set", word)))
        assert done.returncode == 0, done.stderr
        rows = [line.split(",") for line in (output / "history.csv").read_text(encoding="utf-8").splitlines()]
        columns = [rows[0].index(name) for name in ("loss", "similarity", "smoothness", "validation_dice")]
        histories.append([[float(row[column] or 0) for column in columns] for row in rows[1:]])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4, atol=1e-5)
    done = main("hypermorph", "--config", small_config, "--set", "training.replicas=2")
    assert done.returncode == 2
    assert "does not divide into 2 replicas" in done.stderr


def test_training_in_half_precision(main, small_config, tmp_path):
    """One key; the report and the exported figures are those of a model that moves images."""
    output = tmp_path / "half"
    words = [f"output={output}", "network.precision=bfloat16", "network.features=forces", "training.epochs=1"]
    done = main("hypermorph", "--config", small_config, *(part for word in words for part in ("--set", word)))
    assert done.returncode == 0, done.stderr
    assert (output / "report.html").is_file()
