"""Many jobs, on processes of this machine or on workers of Dask: the one seam between a list of work and who does it.

A job is a dict, as JSON holds it; what does it is named as `module:function` and gives a dict. A job whose worker dies
is given to another one, twice; what a user can mend comes back as `{"problems": [...]}`.
"""

import collections
import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from app.errors import UserError
from app.processor import cores

ROOT = Path(__file__).resolve().parents[1]
RETRIES = 2
AHEAD = 1000  # jobs that a scheduler knows of at a time
DIED = "the process at work on it ended {} times (killed, or out of memory); use fewer workers, or more memory"


def run_jobs(function, jobs, cluster, outputs):
    """Have jobs done, and give each result as it comes.

    Args:
        function: `module:function` of a dict that returns a dict; it must not depend on anything else in memory.
        jobs: List of dicts.
        cluster: `ClusterConfig`.
        outputs: Folder for what the processes of this machine print, a file each.

    Yields:
        Place of a job in the list and its result, in the order in which they are done.

    Raises:
        UserError: If the scheduler does not answer, or what Dask needs is not installed.
    """
    if cluster.scheduler or cluster.slurm:
        return _by_dask(function, jobs, cluster)
    return _by_processes(function, jobs, min(cluster.workers or cores(), len(jobs)), Path(outputs))


def _by_processes(function, jobs, workers, outputs):
    todo, done = collections.deque(enumerate(jobs)), queue.SimpleQueue()
    attempts, crew = collections.Counter(), []
    outputs.mkdir(parents=True, exist_ok=True)
    for number in range(workers):
        crew.append(_Crew(function, todo, attempts, done, outputs / f"worker{number}.txt", max(1, cores() // workers)))
        crew[-1].start()
    try:
        for _ in jobs:
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        todo.clear()
        for member in crew:
            member.end()


class _Crew(threading.Thread):
    """Feeds one process with jobs, and replaces it when it dies."""

    def __init__(self, function, todo, attempts, done, output, threads):
        super().__init__(daemon=True)
        self.function, self.todo, self.attempts, self.done = function, todo, attempts, done
        self.output, self.threads, self.process = output, threads, None

    def run(self):
        try:
            while True:
                try:
                    place, job = self.todo.popleft()
                except IndexError:
                    return
                answer = self._ask(job)
                if answer is not None:
                    self.done.put((place, answer))
                    continue
                self.attempts[place] += 1
                if self.attempts[place] > RETRIES:
                    self.done.put((place, {"problems": [DIED.format(self.attempts[place])]}))
                else:
                    self.todo.append((place, job))
        except BaseException as error:  # shown by the thread that waits
            self.done.put(error)

    def _ask(self, job):
        """Answer of the process; None if it died."""
        if self.process is None:
            self.process = self._new_process()
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line.endswith("\n"):
            self.end()
            return None
        return json.loads(line)

    def _new_process(self):
        threads = str(self.threads)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {
            **os.environ, "TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path,
            "KERASMORPH_PARENT": str(os.getpid()),
        }  # fmt: skip
        with open(self.output, "a") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "app.cluster_worker", self.function],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, env=environment, text=True,
            )  # fmt: skip

    def end(self):
        """End the process at once: what it is at is done again by the next command."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()


def _by_dask(function, jobs, cluster):
    try:
        import distributed
    except ImportError:
        raise UserError(
            "cluster: Dask is not installed; .venv/bin/pip install -r requirements-cluster.txt, here and on the workers"
        ) from None
    from app.cluster_worker import do

    with _own_workers(cluster) as address:
        try:
            client = distributed.Client(address, timeout=cluster.timeout_seconds, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise UserError(
                f"cluster.scheduler: {address} does not answer within "
                f"{cluster.timeout_seconds:g} s ({reason}); correct "
                "the address, or start it with 'dask scheduler'"
            ) from None
        with client:
            waiting = iter(enumerate(jobs))

            def submitted(count):
                return {
                    client.submit(do, function, job, pure=False, retries=RETRIES): place
                    for place, job in itertools.islice(waiting, count)
                }

            places = submitted(AHEAD)
            finished = distributed.as_completed(list(places), loop=client.loop)
            for future in finished:
                yield places.pop(future), _result(future)
                more = submitted(1)
                places |= more
                finished.update(list(more))


def _result(future):
    if future.status == "finished":
        return future.result()
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return {"problems": [DIED.format("several")]}
    return {"problems": [f"internal error on a worker: {type(error).__name__}: {' '.join(str(error).split())[:200]}"]}


class _own_workers:  # noqa: N801 - used as a function
    """The address of the scheduler; for SLURM one of this command, with workers in the queue, ended with the block."""

    def __init__(self, cluster):
        self.config, self.cluster = cluster, None

    def __enter__(self):
        slurm = self.config.slurm
        if slurm is None:
            return self.config.scheduler
        try:
            from dask_jobqueue import SLURMCluster
        except ImportError:
            raise UserError(
                "cluster.slurm: dask-jobqueue is not installed; .venv/bin/pip install -r requirements-cluster.txt"
            ) from None
        self.cluster = SLURMCluster(
            queue=slurm.queue, account=slurm.account, cores=slurm.cores, memory=f"{slurm.memory_gib}GiB",
            walltime=slurm.walltime, job_script_prologue=[f"export PYTHONPATH={ROOT}:$PYTHONPATH"],
        )  # fmt: skip
        self.cluster.scale(slurm.workers)
        return self.cluster.scheduler_address

    def __exit__(self, *how):
        if self.cluster is not None:
            self.cluster.close()
