"""Many jobs on processes of this machine: results, errors, workers that are killed, a parent that is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cluster import run_jobs
from app.cluster_config import ClusterConfig
from tests.app.processes import children_of, wait_for_the_end_of

ROOT = Path(__file__).resolve().parents[2]


def run(function, jobs, tmp_path, **cluster):
    return dict(run_jobs(f"tests.app.jobs:{function}", jobs, ClusterConfig(**cluster), tmp_path / "workers"))


def test_all_jobs_are_done_once_by_several_processes(tmp_path):
    """A job that is lost, doubled, or mixed up with another."""
    jobs = [{"number": number, "log": str(tmp_path / "log"), "seconds": 0.05} for number in range(12)]
    results = run("square", jobs, tmp_path, workers=3)
    assert {place: result["square"] for place, result in results.items()} == {n: n * n for n in range(12)}
    assert len({result["process"] for result in results.values()}) == 3
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(12))


def test_errors_of_one_job_leave_the_others_alone(tmp_path):
    """What a user can mend comes back as it is; a fault of ours is said as one, and its traceback is kept."""
    results = run("fail", [{"number": number} for number in range(5)], tmp_path, workers=2)
    assert results[1] == {"problems": ["1 is odd; give an even number"]}
    assert "internal error" in results[4]["problems"][0]
    assert results[2] == {"quotient": -0.5}
    assert "ZeroDivisionError" in "".join(path.read_text() for path in (tmp_path / "workers").iterdir())


@pytest.mark.parametrize("always", [False, True])
def test_a_worker_that_is_killed(tmp_path, always):
    """Its job is given to another one; a job that kills each is given up, and the rest is done."""
    marker, log = str(tmp_path / "marker"), str(tmp_path / "log")
    jobs = [{"number": number, "log": log, "marker": marker, "always": always and number == 1} for number in range(4)]
    for job in jobs[:1] + jobs[2:]:
        job["marker"] = __file__ if always else marker  # there already: no death
    results = run("die_once", jobs, tmp_path, workers=2)
    assert {place for place, result in results.items() if "square" in result} == ({0, 2, 3} if always else {0, 1, 2, 3})
    if always:
        assert "ended 3 times" in results[1]["problems"][0]


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """SIGKILL leaves no time to say good-bye: orphans would work on where nobody sees them."""
    code = (
        "from app.cluster import run_jobs; from app.cluster_config import ClusterConfig\n"
        f"jobs = [{{'number': n, 'seconds': 60, 'log': {str(tmp_path / 'log')!r}}} for n in range(2)]\n"
        f"list(run_jobs('tests.app.jobs:square', jobs, ClusterConfig(workers=2), {str(tmp_path / 'workers')!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    children = []
    for _ in range(600):
        children = children_of(parent.pid)
        if len(children) == 2:
            break
        time.sleep(0.05)
    assert len(children) == 2
    time.sleep(1.5)  # until they watch
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for_the_end_of(children)


def test_results_come_as_they_are_done(tmp_path):
    """A long job must not hold back the results of the short ones, which are written when they come."""
    jobs = [{"number": 0, "seconds": 1.5, "log": str(tmp_path / "log")}]
    jobs += [{"number": number, "log": str(tmp_path / "log")} for number in range(1, 5)]
    order = [place for place, _ in run_jobs("tests.app.jobs:square", jobs, ClusterConfig(workers=2), tmp_path / "w")]
    assert order[-1] == 0
