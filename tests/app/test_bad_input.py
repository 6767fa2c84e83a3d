"""Bad input from the command line: one clear line, exit code 2, nothing half-written."""

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.app.refusals import assert_refused


def copy_cohort(phantoms, folder):
    shutil.copytree(phantoms.parent, folder / "cohort")
    return folder / "cohort"


def change_image(path, change):
    image = nibabel.load(path)
    array = change(np.asarray(image.dataobj).astype("float32"))
    nibabel.save(nibabel.Nifti1Image(array, image.affine), path)


def missing_file(cohort):
    (cohort / "image" / "phantom-002.nii.gz").unlink()


def two_dimensional(cohort):
    change_image(cohort / "image" / "phantom-002.nii.gz", lambda array: array[:, :, 10])


def nan_voxels(cohort):
    def spoil(array):
        array[3, 4, 5] = np.nan
        return array

    change_image(cohort / "image" / "phantom-002.nii.gz", spoil)


def empty_cohort(cohort):
    (cohort / "cohort.csv").write_text("subject,image,labels\n")


def labels_on_another_grid(cohort):
    path = cohort / "labels" / "phantom-002.nii.gz"
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), np.diag([3.0, 3, 3, 1])), path)


def label_absent(cohort):
    change_image(cohort / "labels" / "phantom-002.nii.gz", lambda array: array * (array != 5))


def truncated_nifti(cohort):
    path = cohort / "image" / "phantom-002.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])


def column_missing(cohort):
    (cohort / "cohort.csv").write_text("subject,file\na,b\n")


def file_of_nothing(cohort):
    (cohort / "cohort.csv").write_text("")


def far_too_large(cohort):
    path = cohort / "image" / "phantom-002.nii.gz"
    image = nibabel.load(path)
    array = np.asarray(image.dataobj, "float64")
    array[0, 0, 0] = 1e300
    nibabel.save(nibabel.Nifti1Image(array, image.affine), path)


def other_spacing(cohort):
    for kind in ("image", "labels"):
        path = cohort / kind / "phantom-002.nii.gz"
        array = np.asarray(nibabel.load(path).dataobj)
        nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 2, 2, 1])), path)


def line_without_image(cohort):
    (cohort / "cohort.csv").write_text("subject,image,labels\na\n")


CASES = [
    (other_spacing, ["phantom-002", "differ in voxel size or orientation"]),
    (line_without_image, ["cohort.csv: line 2", "image is empty"]),
    (missing_file, ["phantom-002", "no such image file"]),
    (two_dimensional, ["phantom-002", "2-dimensional image", "3 dimensions"]),
    (nan_voxels, ["phantom-002", "1 voxels are NaN"]),
    (empty_cohort, ["cohort.csv", "cohort is empty"]),
    (labels_on_another_grid, ["phantom-002", "another grid"]),
    (label_absent, ["phantom-002", "label 5 is absent", "allow_absent_labels"]),
    (truncated_nifti, ["phantom-002", "damaged or truncated"]),
    (column_missing, ["cohort.csv", "column image is missing"]),
    (file_of_nothing, ["cohort.csv", "is missing; the first line must name the columns"]),
    (far_too_large, ["phantom-002", "1 voxels are NaN or infinite, read in 32 bits"]),
]


@pytest.mark.parametrize(("spoil", "words"), CASES, ids=lambda case: getattr(case, "__name__", None))
def test_bad_cohort(main, small_config, phantoms, tmp_path, spoil, words):
    """A broken cohort must be refused before training, by file name, and leave no folder."""
    cohort = copy_cohort(phantoms, tmp_path)
    spoil(cohort)
    output = tmp_path / "run"
    done = main(
        "hypermorph",
        "--config",
        small_config,
        "--set",
        f"data.cohort={cohort / 'cohort.csv'}",
        "--set",
        f"output={output}",
    )
    assert_refused(done, words)
    assert not output.exists()


def test_all_problems_are_listed_at_once(main, small_config, phantoms, tmp_path):
    """Users who fix one file per run would need a day for a cohort."""
    cohort = copy_cohort(phantoms, tmp_path)
    nan_voxels(cohort)
    (cohort / "image" / "phantom-005.nii.gz").unlink()
    done = main("hypermorph", "--config", small_config, "--set", f"data.cohort={cohort / 'cohort.csv'}")
    assert_refused(done, ["phantom-002", "phantom-005"])


CONFIG_CASES = [
    (["--set", "training.epoch=3"], ["training.epoch", "did you mean 'epochs'"]),
    (["--set", "hyper=[{name: lambda, high: 1.5}]"], ["lambda", "0.0 <= low < high <= 1.0"]),
    (["--set", "hyper=[{name: sigma}]"], ["Unknown hyper-parameter 'sigma'", "lambda"]),
    (["--set", "objective.terms={sigma: 1}"], ["objective.terms", "bending"]),
    (["--set", "training.epochs=many"], ["training.epochs", "integer"]),
    (["--set", "network.generator=huge"], ["network.generator", "per_channel"]),
    (["--set", "seed=-1"], ["seed", "greater than or equal to 0"]),
    (["--set", "data.cache_gib=.inf"], ["data.cache_gib", "finite"]),
    (["--set", "objective.gamma=2"], ["objective.gamma"]),
    (["--set", "epochs"], ["KEY=VALUE"]),
    (["--set", "network.encoder=[4]"], ["network", "as many widths"]),
    (["--set", "data.structures=[77]"], ["label 77 is absent"]),
    (["--set", "data.split={train: 40, validate: 4, test: 4}"], ["do not fit a cohort of 8"]),
]


@pytest.mark.parametrize(("words", "expected"), CONFIG_CASES)
def test_bad_config(main, small_config, words, expected):
    """A misspelt key that is ignored would train something else than the user asked for."""
    assert_refused(main("hypermorph", "--config", small_config, *words), expected)


def test_config_file_is_missing_or_no_yaml(main, tmp_path):
    """A traceback of the YAML parser tells a radiologist nothing."""
    assert_refused(main("hypermorph", "--config", tmp_path / "none.yaml"), ["none.yaml", "cannot be read"])
    bad = tmp_path / "bad.yaml"
    bad.write_text("task: [")
    assert_refused(main("hypermorph", "--config", bad), ["bad.yaml", "not valid YAML"])


@pytest.mark.parametrize(
    "image", ["/etc/passwd", "../../../../../../etc/passwd", "/dev/zero", "/proc/self/mem", "pipe.nii.gz", "pipe"]
)
def test_a_cohort_that_leads_elsewhere(main, small_config, phantoms, tmp_path, image):
    """A manifest from elsewhere may name any file: what is no image is refused, unread."""
    cohort = copy_cohort(phantoms, tmp_path) / "cohort.csv"
    os.mkfifo(cohort.parent / "pipe.nii.gz")
    os.mkfifo(cohort.parent / "pipe")
    lines = cohort.read_text(encoding="utf-8").splitlines()
    cells = lines[1].split(",")
    cells[1] = image
    cohort.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    done = main("hypermorph", "--config", small_config, "--set", f"data.cohort={cohort}", "--dry-run")
    assert_refused(done, [Path(image).name])
    assert "root:" not in done.stdout + done.stderr
