"""Files written whole or not at all."""

import contextlib
import json
import os
import tempfile
from pathlib import Path


def is_litter(path):
    """Whether an operating system left a file, not a user: `._scan.nii.gz`, `.DS_Store`, `Thumbs.db`, hidden ones.

    Args:
        path: File or folder.

    Returns:
        Bool.
    """
    name = Path(path).name
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


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
        temporary.write_text(text)


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

    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
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
