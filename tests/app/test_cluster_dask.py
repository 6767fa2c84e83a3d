"""Jobs on Dask: a real scheduler and two workers on loopback, one of them killed; skipped without Dask."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cluster import run_jobs
from app.cluster_config import ClusterConfig
from app.errors import UserError

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scheduler(tmp_path):
    """Address of a scheduler with two workers, and the workers' processes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    own = [sys.executable, "-m"]
    words = [*own, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    processes = [subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)]
    address = f"tcp://127.0.0.1:{port}"
    for _ in range(2):
        words = [*own, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        processes.append(subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL))
    yield address, processes[1:]
    for process in processes:
        process.kill()
        process.wait()


def test_jobs_of_a_worker_that_is_killed_are_done_by_the_other(scheduler, tmp_path):
    """All results, in spite of a SIGKILL in the middle of a job; what was done stays done."""
    address, workers = scheduler
    log = tmp_path / "log"
    jobs = [{"number": number, "seconds": 0.3, "log": str(log)} for number in range(16)]
    results, killed = {}, None
    cluster = ClusterConfig(scheduler=address, timeout_seconds=60)
    for place, result in run_jobs("tests.app.jobs:square", jobs, cluster, tmp_path):
        results[place] = result
        both = {each["process"] for each in results.values()} == {worker.pid for worker in workers}
        if killed is None and both:
            killed = workers[0].pid
            os.kill(killed, signal.SIGKILL)
    assert killed is not None
    assert {place: result["square"] for place, result in results.items()} == {n: n * n for n in range(16)}


def test_errors_come_back(scheduler, tmp_path):
    """As from processes of this machine."""
    cluster = ClusterConfig(scheduler=scheduler[0], timeout_seconds=60)
    results = dict(run_jobs("tests.app.jobs:fail", [{"number": 1}, {"number": 2}], cluster, tmp_path))
    assert results == {0: {"problems": ["1 is odd; give an even number"]}, 1: {"quotient": -0.5}}


def test_a_scheduler_that_does_not_answer(tmp_path):
    """A port that nobody listens at: said within the time that was set, not after minutes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    cluster = ClusterConfig(scheduler=f"tcp://127.0.0.1:{port}", timeout_seconds=1)
    began = time.monotonic()
    with pytest.raises(UserError, match="does not answer"):
        list(run_jobs("tests.app.jobs:square", [{"number": 1}], cluster, tmp_path))
    assert time.monotonic() - began < 60
