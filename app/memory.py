"""How much memory there is."""

import os
from pathlib import Path


def free_bytes():
    """Memory that this process may still take: what the machine has free, or the container it runs in.

    Returns:
        Bytes.
    """
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        pass  # another system than Linux: what it has is all that is known
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(statistics["inactive_file"])  # a cache gives way
        free += [] if limit == "max" else [int(limit) - used]
    except (OSError, KeyError, ValueError):
        pass  # no container
    return max(min(free), 0)
