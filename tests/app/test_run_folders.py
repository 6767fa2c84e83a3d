"""Run folders: full, damaged, of another config, in use."""

import fcntl
import resource
import shutil
import subprocess
import sys

import pytest

from app.errors import UserError
from app.training.run_folder import RunFolder
from tests.app.refusals import assert_refused
from tests.conftest import ROOT


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


def test_another_config_in_the_same_folder(main, small_config, trained):
    """Resuming with other settings would give a model that no config describes."""
    done = main(
        "hypermorph", "--config", small_config, "--set", f"output={trained}", "--set", "training.learning_rate=0.5"
    )
    assert_refused(done, ["another config"])


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
