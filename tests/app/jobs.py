"""Jobs for tests of the cluster: they leave a line for each time that they are done."""

import os
import signal
import time
from pathlib import Path

from app.errors import UserError


def square(job):
    """The square of a number, after a while."""
    time.sleep(job.get("seconds", 0.0))
    with open(job["log"], "a") as file:
        file.write(f"{job['number']}\n")
    return {"square": job["number"] ** 2, "process": os.getpid()}


def fail(job):
    """A user's error for odd numbers, an internal one for 4."""
    if job["number"] % 2:
        raise UserError(f"{job['number']} is odd; give an even number")
    return {"quotient": 1 / (job["number"] - 4)}


def die_once(job):
    """The process is killed in the middle of a job, the first time, or each time."""
    marker = Path(job["marker"])
    if job["always"] or not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(job)
