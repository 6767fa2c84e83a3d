"""The error that a user can mend."""


class UserError(Exception):
    """Something is wrong with what the user gave: the command line ends with exit code 2.

    Args:
        problems: One line, or a list of lines, each saying what is wrong, where, and what
            to do about it.
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def list_problems(problems):
    """Raise all problems at once, if there are any.

    Args:
        problems: List of lines.

    Raises:
        UserError: If the list is not empty.
    """
    if problems:
        raise UserError(problems)
