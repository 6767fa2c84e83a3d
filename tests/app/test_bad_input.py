"""Bad input from the command line: one clear line, exit code 2, nothing half-written."""

import fcntl
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from app.errors import UserError
from app.training.run_folder import RunFolder
from tests.app.image_files import meta, nifti, nrrd
from tests.conftest import ROOT


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


def assert_refused(done, words):
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert lines, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert any(word in line for line in lines), lines


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


def test_unwritable_folder(main, small_config, tmp_path):
    """An hour of training must not end at a folder that cannot be made."""
    (tmp_path / "file").write_text("")
    done = main("hypermorph", "--config", small_config, "--set", f"output={tmp_path / 'file' / 'run'}")
    assert_refused(done, ["cannot be written", "--set output=FOLDER"])


def test_full_disk(shell, small_config, tmp_path):
    """A disk that fills up in training must leave whole files and a clear line.

    The limit on the size of a file stands in for the disk: the same failure of `write`, at
    the first checkpoint.
    """
    output = tmp_path / "run"
    done = shell(
        "hypermorph",
        "--config",
        small_config,
        "--set",
        f"output={output}",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert_refused(done, ["cannot be written", "free space"])
    assert not list(output.rglob("*.keras"))
    assert not list(output.rglob(".part-*"))


def test_corrupted_checkpoint(main, small_config, trained, tmp_path):
    """Training that silently starts afresh over a damaged checkpoint would lose days."""
    output = tmp_path / "run"
    shutil.copytree(trained, output)
    last = output / "checkpoints" / "last.keras"
    last.write_bytes(last.read_bytes()[:3000])
    (output / "config.yaml").write_text(
        (output / "config.yaml").read_text(encoding="utf-8").replace(str(trained), str(output))
    )
    done = main("hypermorph", "--config", small_config, "--set", f"output={output}")
    assert_refused(done, ["last.keras", "damaged"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("epoch,loss\n1,0.5\n2,much\n", "no table of numbers"),
        ("epoch,loss\none,0.5\n", "no table of numbers"),
        ("epoch,loss\n1,0.5,7\n", "line 2 has no epoch, or more values than columns"),
        ("loss\n0.5\n", "line 2 has no epoch"),
        ("epoch,loss\n1,0.5\n2," + "9" * 2**20, "larger than 1 MB"),
        ("epoch,loss\n1,\0\n", "NUL byte"),
    ],
)
def test_a_damaged_history(tmp_path, content, words):
    """It is read when a training goes on: a traceback there is called our fault."""
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(UserError, match=words):
        RunFolder(tmp_path).read_history()


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


def test_another_config_in_the_same_folder(main, small_config, trained):
    """Resuming with other settings would give a model that no config describes."""
    done = main(
        "hypermorph", "--config", small_config, "--set", f"output={trained}", "--set", "training.learning_rate=0.5"
    )
    assert_refused(done, ["another config"])


@pytest.fixture
def register_config(phantoms, trained, tmp_path):
    path = tmp_path / "register.yaml"
    images = phantoms.parent / "image"
    path.write_text(
        f"task: register\noutput: {tmp_path / 'out'}\nmodel: {trained}\n"
        f"moving: {images / 'phantom-000.nii.gz'}\nfixed: {images / 'phantom-001.nii.gz'}\n"
    )
    return path


def other_grid(tmp_path, phantoms):
    source = nibabel.load(phantoms.parent / "image" / "phantom-000.nii.gz")
    path = tmp_path / "shifted.nii.gz"
    affine = source.affine.copy()
    affine[0, 3] = 10.0
    nibabel.save(nibabel.Nifti1Image(np.asarray(source.dataobj), affine), path)
    return path


def test_lambda_outside_its_range(main, register_config):
    """The network knows nothing beyond the range it was trained on."""
    assert_refused(
        main("register", "--config", register_config, "--set", "hyper.lambda=1.5"), ["1.5 is outside [0, 1]"]
    )
    assert_refused(
        main("register", "--config", register_config, "--set", "hyper.gamma=0.5"), ["no such hyper-parameter"]
    )


def test_register_refuses_other_grids_and_models(main, register_config, phantoms, tmp_path):
    """Two grids taken for one would move anatomy by the difference of their origins."""
    done = main("register", "--config", register_config, "--set", f"moving={other_grid(tmp_path, phantoms)}")
    assert_refused(done, ["shifted.nii.gz", "resample"])
    assert_refused(
        main("register", "--config", register_config, "--set", "model=nowhere"), ["nowhere", "no trained model"]
    )
    assert_refused(main("register", "--config", register_config, "--set", "moving=a.txt"), ["unknown image format"])
    assert not (tmp_path / "out").exists()


def test_images_that_attack_the_reader(main, register_config, tmp_path):
    """ITK died of a pattern and of text from a device; other files of the machine became voxels."""
    hostile = {
        "pattern.mhd": (meta(ElementDataFile="%s%s%s%n 1 5 1"), "save it as one file"),
        "passwd.mhd": (meta(ElementDataFile="/etc/passwd"), "put the data file beside the header"),
        "zero.nhdr": (nrrd(data_file="/dev/zero", encoding="ascii"), "save it as raw or gzip"),
        "giant.nii": (nifti(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]), "claims 30000 x 30000 x 30000 voxels"),
    }
    for name, (content, words) in hostile.items():
        (tmp_path / name).write_bytes(content)
        done = main("register", "--config", register_config, "--set", f"moving={tmp_path / name}")
        assert_refused(done, [name, words])
    assert not (tmp_path / "out").exists()


def test_nan_is_zero_where_the_config_says_so(main, register_config, phantoms, tmp_path):
    """The border that resampling leaves is background: nobody should have to write another file for that."""
    image = nibabel.load(phantoms.parent / "image" / "phantom-000.nii.gz")
    array = np.asarray(image.dataobj).astype("float32")
    array[:2] = np.nan
    nibabel.save(nibabel.Nifti1Image(array, image.affine), tmp_path / "border.nii.gz")
    words = ["register", "--config", register_config, "--set", f"moving={tmp_path / 'border.nii.gz'}"]
    assert_refused(main(*words), ["border.nii.gz", "1152 voxels are NaN", "set nan: zero"])
    done = main(*words, "--set", "nan=zero")
    assert done.returncode == 0, done.stderr
    assert "1152 voxels are NaN; read as 0" in done.stdout
    moved = np.asarray(nibabel.load(tmp_path / "out" / "moved.nii.gz").dataobj)
    assert np.isfinite(moved).all()
    assert moved.any()


@pytest.mark.parametrize("words", ["hypermorph --config {} --dry-run", "doctor", "hypermorph --keys"])
def test_a_reader_that_leaves(small_config, words):
    """`| head` closes the pipe: no traceback, and where the command only prints, nothing at all."""
    command = f"{sys.executable} main.py {words.format(small_config)} | true"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if not line.startswith(("WARNING", "I0000"))]
    assert [line.startswith("error: standard output was closed") for line in errors] == [True] * ("dry-run" in words)


def test_two_commands_in_one_folder(main, small_config, tmp_path):
    """Both would train on, and write over each other's history and checkpoints."""
    output = tmp_path / "run"
    output.mkdir()
    with open(output / "run.lock", "w") as lock:  # as another process would hold it
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4711 on elsewhere")
        lock.flush()
        done = main("hypermorph", "--config", small_config, "--set", f"output={output}")
        assert done.returncode == 2
        assert "process 4711 on elsewhere" in done.stderr
        assert "--set output=FOLDER" in done.stderr
        assert [path.name for path in output.iterdir()] == ["run.lock"]


def test_a_lock_of_a_dead_process_is_none(main, phantoms, trained, tmp_path):
    """`kill -9` leaves the file; whoever comes next must not have to delete it by hand."""
    output = tmp_path / "run"
    output.mkdir()
    (output / "run.lock").write_text("process 1 on elsewhere")
    image = phantoms.parent / "image" / "phantom-000.nii.gz"
    values = {"model": trained, "moving": image, "fixed": image, "output": output, "hyper.lambda": 0.5}
    words = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    done = main("register", "--config", ROOT / "configs" / "register" / "pair.yaml", *words)
    assert done.returncode == 0, done.stderr
    assert not (output / "run.lock").exists()
