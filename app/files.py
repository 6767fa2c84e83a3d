"""Files written whole or not at all."""

import contextlib
import json
import os
import stat
import tempfile
import unicodedata
from pathlib import Path

from app.errors import UserError


def is_litter(path):
    """Whether an operating system left a file, not a user: `._scan.nii.gz`, `.DS_Store`, `Thumbs.db`, hidden ones.

    Args:
        path: File or folder.

    Returns:
        Bool.
    """
    name = Path(path).name
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


def composed(text):
    """Text whose accents are parts of their letters: file systems and archives of macOS make two of one."""
    return unicodedata.normalize("NFC", str(text))


def as_stored(path):
    """A path as the disk spells it: whether an accented letter is stored as one or as two is nothing that a user sees.

    Args:
        path: File or folder.

    Returns:
        `Path`: the same where it exists, or where nothing of that name is there.
    """
    path = Path(path)
    if os.path.lexists(path):
        return path
    stored = Path(path.anchor)
    for part in path.parts[len(stored.parts) :]:
        if not os.path.lexists(stored / part):
            alike = [name for name in _listed(stored) if composed(name) == composed(part)]
            if len(alike) != 1:
                return path
            part = alike[0]
        stored /= part
    return stored


def _listed(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def user_text(path, most, remedy):
    """What stands in a user's text file; a pipe or a device, which may have no end, is not opened for long.

    Args:
        path: File.
        most: Bytes that such a file may have.
        remedy: What to do where it cannot be read.

    Returns:
        String.

    Raises:
        UserError: If it is missing, no regular file, too large, or no UTF-8 text.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # else the opening of a pipe would wait
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UserError(f"{path}: a pipe, a device or a folder, no regular file; {remedy}")
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); {remedy}") from None
    if len(content) > most:
        raise UserError(f"{path}: larger than {most / 2**20:g} MB, which no such file is; {remedy}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: cannot be read (line {line} is no UTF-8 text); {remedy}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}: cannot be read (line {line} has a NUL byte); {remedy}")
    return text


@contextlib.contextmanager
def whole_file(path):
    """A temporary path beside `path`, moved onto it when the block ends without error.

    The suffixes stay, in lower case, since writers choose the format by them. The content is on the disk
    before the name appears: a kill or a full disk at any moment leaves the old file or the
    new one.

    Args:
        path: Where the file shall be; its folder is made.

    Yields:
        `Path` to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix="".join(path.suffixes[-2:]).lower(), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path, text):
    """Write a text file, whole or not at all.

    Args:
        path: File.
        text: Its content.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Write a JSON file, whole or not at all.

    Args:
        path: File.
        content: What `json.dumps` takes; numbers that are not finite become null.
    """
    write_text(path, json.dumps(_finite(content), indent=2) + "\n")


def write_csv(path, rows):
    """Write dicts as a CSV file, whole or not at all.

    Args:
        path: File.
        rows: List of dicts with the same keys, which become the header.
    """
    import csv

    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _finite(content):
    if isinstance(content, dict):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float):
        return content if content - content == 0.0 else None
    if hasattr(content, "tolist"):
        return _finite(content.tolist())
    return content if content is None or isinstance(content, int | str) else str(content)
