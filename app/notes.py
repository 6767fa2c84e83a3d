"""What was assumed or changed while reading a user's files: each said once, in a line."""

from app.errors import printable

_said = {}
_kept_by = []


def note(line):
    """Print a line that begins with "note:", unless this command has said it already.

    Files are read several times in a run: checked, prepared, compared.

    Args:
        line: What was assumed, left out or changed, and of which file.
    """
    line = printable(line)
    if line not in _said:
        _said[line] = True
        print(f"note: {line}", flush=True)
        for keep in _kept_by:
            keep(f"note: {line}")


def forget():
    """Begin another command: what the one before it said is said again."""
    _said.clear()
    _kept_by.clear()


def keep_notes(keep):
    """Hand every note of this command on, those before now and those to come, to a run's log for instance.

    Args:
        keep: Function of a line.
    """
    for line in _said:
        keep(f"note: {line}")
    _kept_by[:] = [keep]


def said():
    """What this command has said so far.

    Returns:
        List of lines.
    """
    return list(_said)
