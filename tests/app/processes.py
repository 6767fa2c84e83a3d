"""Processes that tests start and kill; Linux's /proc."""

import time
from pathlib import Path


def children_of(pid):
    """Processes that a process, any thread of it, has started.

    Args:
        pid: Of the process.

    Returns:
        List of strings.
    """
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def wait_for_the_end_of(pids, seconds=60):
    """Wait until none of these processes is there any more.

    Args:
        pids: Strings.
        seconds: After which the test fails.
    """
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until, "they live on"
        time.sleep(0.05)
