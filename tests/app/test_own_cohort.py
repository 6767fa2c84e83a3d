"""A cohort of one's own at the first attempt: other labels, sizes and counts; evaluated on its own split."""

import csv
import json

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from app.data.split import SplitConfig
from tests.conftest import ROOT
from tests.shorter import SMALL_REGISTRATION

OWN = ROOT / "configs" / "hypermorph" / "own.yaml"
WORDS = [word for key in SMALL_REGISTRATION for word in ("--set", key)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Seven subjects of three shapes, labels 3 and 17, named beside the manifest."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    lines = ["subject,image,labels"]
    for number in range(7):
        shape = [(15, 18, 16), (17, 16, 14), (16, 16, 16)][number % 3]
        labels = np.zeros(shape, "uint8")
        labels[4:9, 5:11, 4:9], labels[9:12, 5:11, 4:9] = 3, 17
        image = gaussian_filter(100.0 * labels + rng.random(shape), 0.8).astype("float32")
        for kind, array in (("image", image), ("labels", labels)):
            nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 2.0, 2.0, 1.0])), folder / f"{kind}{number}.nii.gz")
        lines.append(f"person{number},image{number}.nii.gz,labels{number}.nii.gz")
    (folder / "my.csv").write_text("\n".join(lines))
    (folder / "labels.csv").write_text("index,name\n3,nucleus\n17,horn\n")
    return folder / "my.csv"


@pytest.fixture(scope="module")
def own_run(main, cohort):
    """The README's line, shortened."""
    run = cohort.parent / "run"
    done = main("hypermorph", "--config", OWN, "--set", f"data.cohort={cohort}", "--set", f"output={run}", *WORDS)
    assert done.returncode == 0, done.stderr
    return run, done.stdout


def test_shapes_names_and_split_come_from_the_cohort(own_run):
    """What held for our brains alone: one shape, ten of a hundred to test, our names."""
    run, printed = own_run
    assert "different shapes, (15, 18, 16), (16, 16, 16), (17, 16, 14)" in printed
    assert "to (17, 18, 16)" in printed
    contract = json.loads((run / "model.json").read_text(encoding="utf-8"))
    assert contract["structures"] == {"3": "nucleus", "17": "horn"}
    assert contract["shape"] == [17, 18, 16]
    with open(run / "split.csv") as file:
        parts = [row["part"] for row in csv.DictReader(file)]
    assert {part: parts.count(part) for part in set(parts)} == {"train": 3, "validate": 2, "test": 2}


def test_evaluate_takes_the_runs_own_split(main, own_run, tmp_path):
    """Another split would test on what was trained on."""
    run, _ = own_run
    config = tmp_path / "evaluate.yaml"
    config.write_text(f"task: evaluate\noutput: {tmp_path / 'out'}\nmodel: {run}\nseed: 5\n")
    done = main("evaluate", "--config", config)
    assert done.returncode == 0, done.stderr
    with open(run / "split.csv") as file:
        tested = {row["subject"] for row in csv.DictReader(file) if row["part"] == "test"}
    with open(tmp_path / "out" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["moving"] for row in rows} | {row["fixed"] for row in rows} == tested
    assert "dice nucleus" in rows[0]
    assert "trained on" not in done.stdout


def test_evaluate_says_who_was_trained_on(main, own_run, cohort, tmp_path):
    """A Dice of subjects that were trained on passes for that of new ones."""
    run, _ = own_run
    config = tmp_path / "evaluate.yaml"
    config.write_text(
        f"task: evaluate\noutput: {tmp_path / 'out'}\nmodel: {run}\nsubjects: all\n"
        f"data: {{cohort: {cohort}, pairs: 2}}\n"
    )
    done = main("evaluate", "--config", config)
    assert done.returncode == 0, done.stderr
    assert "3 of the 7 subjects have names that the model was trained on" in done.stdout
    assert "no evidence for new subjects" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_another_cohort_is_not_taken_for_the_runs(main, own_run, phantoms, tmp_path):
    """None of its subjects is in the split: an empty test must say what to do."""
    run, _ = own_run
    config = tmp_path / "evaluate.yaml"
    config.write_text(f"task: evaluate\noutput: {tmp_path / 'out'}\nmodel: {run}\ndata: {{cohort: {phantoms}}}\n")
    done = main("evaluate", "--config", config)
    assert done.returncode == 2
    assert "set subjects: all" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("total", "counts"), [(6, (2, 2, 2)), (7, (3, 2, 2)), (12, (8, 2, 2)), (30, (24, 3, 3)), (100, (80, 10, 10))]
)
def test_shares_leave_pairs_to_validate_and_test(total, counts):
    """A tenth of twelve subjects is one, which makes no pair."""
    assert tuple(SplitConfig().counts(total, 2).values()) == counts


def test_paths_do_not_depend_on_where_a_child_runs(main, own_run, monkeypatch):
    """The README's export, with its relative folder: its check runs in another working directory."""
    run, _ = own_run
    monkeypatch.chdir(run.parent)
    config = run.parent / "export.yaml"
    config.write_text("task: export\noutput: served/own\nmodel: run\n")
    done = main("export", "--config", "export.yaml")
    assert done.returncode == 0, done.stderr
    assert (run.parent / "served" / "own" / "1" / "saved_model.pb").is_file()
