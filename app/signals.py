"""SIGTERM and Ctrl-C: both end a command with a line, soon, and with all that it started.

Python runs a handler between two of its own instructions. Importing TensorFlow, or a step within it, may keep it from
that for minutes; then a thread that the system wakes ends the process.
"""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from app.training.run_lock import release_folders

PATIENCE_SECONDS = 1.5
LINE = "interrupted; rerun the same command to resume from the last checkpoint"
USER_INPUT = 2


def end_on_signals():
    """From now on SIGTERM raises `KeyboardInterrupt`, as Ctrl-C does; who does not end in a second and a half is ended.

    For the program alone: a library leaves its host's signals as they are.
    """
    ours, systems = socket.socketpair()
    systems.setblocking(False)
    signal.set_wakeup_fd(systems.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = _without_interrupts
    threading.Thread(target=_watch, args=(ours, systems), daemon=True).start()


def _without_interrupts(unraisable):
    """An interrupt within a destructor or a weak reference's callback is lost to Python, which prints a traceback; the
    thread below ends the process then."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def ignore_signals():
    """The command has done all that it was to do: Python, taking itself down, would die of a signal with its code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _watch(ours, _):  # both ends stay open as long as this thread lives
    while True:
        if ours.recv(1)[0] in (signal.SIGTERM, signal.SIGINT):
            break
    time.sleep(PATIENCE_SECONDS)
    print(f"error: {LINE}", file=sys.stderr, flush=True)
    release_folders()
    for child in _children(os.getpid()):
        os.kill(child, signal.SIGKILL)
    os._exit(USER_INPUT)


def _children(process):
    """Process numbers of those that a process started, where the system lists them."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has ended meanwhile
        if parent == process:
            yield int(path.parent.name)
