"""What tests share: seeds, the data folder, small cohorts, and the command line."""

import contextlib
import gc
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two processes of tests share the cores; before NumPy is loaded

import numpy as np
import pytest

import nets  # noqa: F401 - before TensorFlow is loaded: it switches oneDNN on

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]


# Files that take minutes: two processes are done sooner if these are not the last.
LONG = [
    "test_commands.py", "test_commands_of_masks.py", "test_seventh.py", "test_systems.py",
    "test_tune_task.py", "test_convert.py", "test_variants.py",
    "test_template.py", "test_kidney.py", "test_replay.py", "test_tasks.py", "test_tuner.py",
]  # fmt: skip


def pytest_collection_modifyitems(items):
    """The longest files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="module", autouse=True)
def _frozen():
    """Keras collects garbage between models; what was imported by then need not be looked through each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("KERASMORPH_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; KERASMORPH_DATA can name one")
    return folder


@pytest.fixture(scope="session")
def main():
    """Run `main.py ...` with a user's words; in this process, since each new one would spend seconds on imports."""
    from app.cli import main as command_line

    def call(*words):
        if "keras" in sys.modules:
            sys.modules["keras"].backend.clear_session()  # names are given as in a fresh process
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                code = command_line([str(word) for word in words])
            except SystemExit as ended:  # argparse
                code = ended.code
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def shell():
    """Run `python main.py ...` as a user would: a process of its own."""

    def call(*words, **options):
        command = [sys.executable, "main.py", *map(str, words)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)

    return call


@pytest.fixture(scope="session")
def kill_at():
    """Run `python main.py ...` and kill it when it prints something."""

    def call(moment, *words):
        command = [sys.executable, "main.py", *map(str, words)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        killed = False
        for line in process.stdout:
            if moment in line:
                process.kill()
                killed = True
                break
        process.stdout.close()
        process.wait()
        assert killed, f"it never printed '{moment}'"

    return call


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A cohort of eight small simulated brains on disk: its CSV."""
    from app.data.phantoms.brains import write_brains
    from app.data.phantoms.config import BrainsConfig

    folder = tmp_path_factory.mktemp("phantoms")
    cohort, _ = write_brains(folder, BrainsConfig(subjects=8, shape=[24, 24, 24], deformation_vox=0.8))
    return cohort


@pytest.fixture(scope="session")
def small_config(phantoms, tmp_path_factory):
    """A hypermorph config that trains in seconds."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(
        f"""
task: hypermorph
output: {path.parent / "unused"}
data:
  cohort: {phantoms}
  split: {{train: 4, validate: 2, test: 2}}
  pairs: 2
network: {{features: images, encoder: [4, 4], decoder: [4, 4], final: [4], units: 8}}
training: {{epochs: 3, steps: 4, validate_every: 2, validate_pairs: 1}}
evaluation: {{values: 3}}
"""
    )
    return path


@pytest.fixture(scope="session")
def trained(main, small_config, tmp_path_factory):
    """The folder of a finished small run."""
    output = tmp_path_factory.mktemp("runs") / "small"
    done = main("hypermorph", "--config", small_config, "--set", f"output={output}")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Eight simulated adults and eight children with kidneys on disk: their CSV."""
    from app.data.phantoms.config import KidneysConfig
    from app.data.phantoms.kidneys import write_kidneys

    return write_kidneys(tmp_path_factory.mktemp("kidneys"), KidneysConfig(adults=8, children=8, detail_mm=7.0))
