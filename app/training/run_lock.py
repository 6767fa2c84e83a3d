"""One command at a time in a run folder: two trainings in one would write over each other's checkpoints."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from app.errors import UserError

_held = []


def lock_folder(path, name="run.lock"):
    """Hold a folder until `release_folders`, or until this process ends however it ends.

    Args:
        path: Folder; it is made.
        name: Of the lock's file.

    Raises:
        UserError: If another command holds it; its process and host are named.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    while True:
        file = open(path / name, "a+")  # noqa: SIM115 - open as long as the lock is held
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "a process that does not say which"
            file.close()
            raise UserError(
                f"{path}: another command is at work in this folder ({holder}); wait for it, or choose another folder "
                "with --set output=FOLDER"
            ) from None
        if (path / name).exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(path / name)):
            break
        file.close()  # whoever held it has removed the file meanwhile
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    _held.append((path / name, file))


@contextlib.contextmanager
def locked_folder(path, name):
    """Hold a folder for a block; as `lock_folder`.

    Args:
        path: Folder; it is made.
        name: Of the lock's file.
    """
    lock_folder(path, name)
    held = _held[-1]
    try:
        yield
    finally:
        if held in _held:
            _held.remove(held)
            held[0].unlink(missing_ok=True)
            held[1].close()


def release_folders():
    """Let go of all folders that this process holds; the locks' files are removed."""
    while _held:
        path, file = _held.pop()
        path.unlink(missing_ok=True)
        file.close()
