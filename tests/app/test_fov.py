"""The task `fov` as a user runs it: train, evaluate, predict, export, and its errors."""

import csv
import json
import shutil

import numpy as np
import pytest
import yaml

from app.data.volume import Volume
from app.data.write import write_volume


@pytest.fixture(scope="module")
def trained(main, tmp_path_factory):
    """A small run: its config and its folder."""
    folder = tmp_path_factory.mktemp("fov")
    values = {
        "task": "fov",
        "output": str(folder / "run"),
        "data": {"phantom": {"subjects": 12, "matrix": 32}, "size": 32, "context": 1},
        "network": {"blocks": 3, "filters": 8, "head": "pool"},
        "training": {"epochs": 2, "slices": 640, "batch_size": 32, "optimizer": "adam", "learning_rate": 5e-3},
    }
    path = folder / "fov.yaml"
    path.write_text(yaml.safe_dump(values))
    done = main("fov", "--config", path)
    assert done.returncode == 0, done.stderr
    return path, folder / "run"


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_model_figures_and_report(trained):
    """Everything that a user compares with the thesis' tables."""
    _, run = trained
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["volumes"] == 3
    assert 0 <= metrics["decided_error"] <= 1
    assert metrics["simulated_training"] is True
    assert sum(map(sum, metrics["confusion_raw"].values())) == metrics["slices"]
    history = table(run / "history.csv")
    assert float(history[-1]["validation_loss"]) < float(history[0]["loss"])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "simulated bodies: no evidence of accuracy" in page
    assert page.count("<img") >= 4
    rows = table(run / "volumes.csv")
    assert sum(int(row["decided_wrong"]) for row in rows) == pytest.approx(metrics["decided_error"] * metrics["slices"])
    subjects = {row["subject"] for row in rows}
    assert len(subjects) == 3


def test_predict_says_what_where_and_what_is_odd(trained, main, tmp_path):
    """Files and DICOM folders in; slices of the file, millimetres and flags out; what cannot be read is named."""
    path, run = trained
    inputs = tmp_path / "in"
    inputs.mkdir()
    shutil.copy(next((run / "phantoms" / "image").glob("*.nii.gz")), inputs / "body.nii.gz")
    write_volume(inputs / "bad.nii.gz", Volume(np.zeros((8, 8, 8), "uint8"), np.eye(4)))
    done = main("fov", "predict", "--config", path, "--input", inputs, tmp_path / "nowhere", "--to", tmp_path / "out")
    assert done.returncode == 2
    assert "nowhere: no such file or folder" in done.stderr
    assert "bad.nii.gz: every voxel is 0" in done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads((tmp_path / "out" / "body.json").read_text(encoding="utf-8"))
    assert found["simulated_training"] is True
    count = len(found["per_slice"]["none"])
    for region in found["regions"]:
        assert region["first_slice"] <= region["last_slice"]
        assert region["start_interval_mm"][0] <= region["start_interval_mm"][1]
        assert region["stop_mm"] - region["start_mm"] == pytest.approx(
            (region["last_slice"] - region["first_slice"] + 1) * found["spacing_mm"], abs=0.1
        )
    np.testing.assert_allclose(np.sum(list(found["per_slice"].values()), axis=0), np.ones(count), atol=0.01)
    assert (tmp_path / "out" / "body.png").stat().st_size > 5000
    assert not (tmp_path / "out" / "bad.json").exists()


def test_a_real_series_is_read_and_its_tag_compared(trained, main, data_folder, tmp_path):
    """A wrong BodyPartExamined is why archives want this."""
    path, _ = trained
    series = data_folder / "body_region" / "prostatex_pelvis" / "dicom_adc_px0000"
    done = main("fov", "predict", "--config", path, "--input", series, "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "dicom_adc_px0000.json").read_text(encoding="utf-8"))
    assert found["body_part_examined"] == "PROSTATE"
    named = {region["name"] for region in found["regions"]}
    assert ("pelvis" in named) != any("BodyPartExamined says PROSTATE" in flag for flag in found["flags"])


def test_the_split_is_that_of_training(trained, main, tmp_path):
    """Dealt anew by another seed or a longer cohort, subjects of the training would be tested."""
    path, run = trained
    before = (run / "phantoms" / "phantoms.yaml").read_text(encoding="utf-8")
    for change in ("seed=5", "data.phantom.seed=3"):
        done = main("fov", "evaluate", "--config", path, "--set", change, "--to", tmp_path / "other")
        assert done.returncode == 2
        assert "holds a run with another config" in done.stderr
    assert (run / "phantoms" / "phantoms.yaml").read_text(encoding="utf-8") == before
    assert not (tmp_path / "other").exists()
    split = (run / "split.csv").read_text(encoding="utf-8")
    (run / "split.csv").write_text(split.replace("test,", "train,", 1))
    done = main("fov", "evaluate", "--config", path, "--to", tmp_path / "other")
    (run / "split.csv").write_text(split)
    assert done.returncode == 2
    assert "the cohort has changed since this run began" in done.stderr


BAD = {
    "source": (["--set", "data.phantom=null"], "give one of cohort and phantom"),
    "missing": (["--set", "data.phantom=null", "--set", "data.cohort=none.csv"], "none.csv: cannot be read"),
    "blocks": (["--set", "network.blocks=9"], "network.blocks: at most 5 for slices of 32"),
    "input": (["predict"], "--input is missing"),
    "model": (["predict", "--input", "README.md"], "no trained model"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_what_is_wrong_is_said(kind, trained, main, tmp_path):
    """One line, exit code 2, nothing written."""
    path, _ = trained
    words, message = BAD[kind]
    action = [words[0]] if words[0] == "predict" else []
    done = main("fov", *action, "--config", path, "--set", f"output={tmp_path / 'new'}", *words[len(action) :])
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_wrong_cohorts_are_listed_whole(trained, main, tmp_path):
    """Every volume that is wrong, by name, before training."""
    path, run = trained
    rows = table(run / "phantoms" / "cohort.csv")
    for row in rows:
        row["image"] = str(run / "phantoms" / row["image"])
    rows[1]["regions"], rows[2]["image"] = "chst 0:3", "gone.nii.gz"
    with open(tmp_path / "cohort.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    cohort = ["--set", "data.phantom=null", "--set", f"data.cohort={tmp_path / 'cohort.csv'}"]
    done = main("fov", "--config", path, *cohort, "--set", f"output={tmp_path / 'new'}")
    assert done.returncode == 2
    assert "'chst' is unknown" in done.stderr
    assert "gone.nii.gz: no such image file" in done.stderr
