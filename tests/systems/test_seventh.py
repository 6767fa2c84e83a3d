"""A system that somebody adds: a folder and a line in the table, and all flows take it."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from tests.conftest import ROOT
from tests.systems.examination import Examined, run_system_test
from tests.systems.test_systems import CUBES, SHORT, _kidney, by_task, mask

# The one line, before anything else is imported.
PROGRAM = """
import sys
from app.systems import SYSTEMS
SYSTEMS["seventh"] = "tests.systems.seventh"
from app.cli import main
sys.exit(main(sys.argv[1:]))
"""


def started(*words):
    """The program with the seventh system, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def main():
    """Run a command to its end."""

    def call(*words):
        process = started(*words)
        out, err = process.communicate()
        return SimpleNamespace(returncode=process.returncode, stdout=out, stderr=err)

    return call


@pytest.fixture
def kill_at():
    """Run a command and kill it when it prints something."""

    def call(moment, *words):
        process = started(*words)
        assert any(moment in line for line in process.stdout)
        process.kill()
        process.communicate()

    return call


def test_a_seventh_system(cohort, main, kill_at, tmp_path):
    """A flow that knows the others by name would not know it."""
    config = {"data": {**CUBES, "cohort": str(cohort)}, "training": {**SHORT, "learning_rate": 1e-2}}
    figure = lambda metrics: metrics["source"]["dice"]  # noqa: E731
    run_system_test(
        Examined("seventh", config, _kidney(cohort), by_task("seventh"), mask, figure), main, kill_at, tmp_path
    )
    search = {"method": "random", "trials": 2, "space": {"training.learning_rate": {"choices": [0.001, 0.01]}}}
    values = {"task": "seventh", "output": str(tmp_path / "search"), **config, "search": search}
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(values))
    done = main("tune", "--config", tmp_path / "search.yaml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "search" / "best.yaml").is_file()
