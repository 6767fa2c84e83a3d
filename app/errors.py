"""Errors that a user can fix."""

import contextlib
import errno

LONG_WORD = 60
# `OSError.errno` where a folder cannot be written: it is full, read-only, or no folder at all.
NO_ROOM = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)


class UserError(Exception):
    """Something is wrong with what the user gave: the command line ends with exit code 2.

    Args:
        problems: One line, or a list of lines, each saying what is wrong, where, and what
            to do about it.
    """

    def __init__(self, problems):
        self.problems = [printable(problem) for problem in ([problems] if isinstance(problems, str) else problems)]
        super().__init__("\n".join(self.problems))

    def lines_naming(self, *paths):
        """Problems that each name a file.

        Args:
            *paths: Files that they may be of; those that name none of them are of the first.

        Returns:
            List of lines.
        """
        names = [str(path) for path in paths]
        return [
            problem if any(name in problem for name in names) else f"{names[0]}: {problem}" for problem in self.problems
        ]


def printable(text):
    """A text as one line: what cannot be shown, or would move a terminal's cursor, is escaped.

    Args:
        text: String, parts of which may come from a stranger's file.

    Returns:
        String.
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shortened(line, most):
    """A line of limited length: first its longest words are cut in their middle, such as paths; then the line is, since
    what is wrong stands at its beginning and what to do at its end.

    Args:
        line: String.
        most: Letters.

    Returns:
        String.
    """
    words = line.split(" ")
    while len(line) > most:
        longest = max(range(len(words)), key=lambda index: len(words[index]))
        if len(words[longest]) <= LONG_WORD:
            half = most // 2 - 3
            return f"{line[:half]} ... {line[-half:]}"
        room = max(len(words[longest]) - (len(line) - most), LONG_WORD)
        words[longest] = f"{words[longest][: room // 2 - 3]}...{words[longest][-(room // 2 - 3) :]}"
        line = " ".join(words)
    return line


@contextlib.contextmanager
def naming(*paths):
    """Within this context problems name a file.

    Args:
        *paths: As for `UserError.lines_naming`.

    Raises:
        UserError: What was raised within, each line with its file.
    """
    try:
        yield
    except UserError as error:
        raise UserError(error.lines_naming(*paths)) from None


def list_problems(problems):
    """Raise all problems at once, if there are any.

    Args:
        problems: List of lines.

    Raises:
        UserError: If the list is not empty.
    """
    if problems:
        raise UserError(problems)
