"""What `tune bounds` says: how many draws random search needs in a space, and what a number of trials is worth."""

import math

from app.tuning.random_search import certainty, draws_needed

SHARES = (0.01, 0.05, 0.1)
CERTAINTIES = (0.5, 0.95, 0.99)


def bounds_lines(size, trials=None):
    """Random search's bounds in a space, for people.

    Args:
        size: Number of configurations; infinite where a range is continuous.
        trials: Trials that the search makes at most, or None.

    Returns:
        List of lines.

    Reference:
        - Bertrand, thesis, 2019, section 2.4.1, table 2.2.
    """
    configurations = "endlessly many" if math.isinf(size) else f"{size:,}"
    lines = [
        f"space: {configurations} configurations",
        "draws that random search needs until one lies in the best share of the space:",
        "share     " + "".join(f"{f'{certain:.0%} certain':>14}" for certain in CERTAINTIES),
    ]
    for share in SHARES:
        draws = (draws_needed(share, certain, size) for certain in CERTAINTIES)
        lines.append(f"best {share:<5.0%}" + "".join(f"{number:>14}" for number in draws))
    if trials is not None:
        reached = ", ".join(f"best {share:.0%} {certainty(trials, share, size):.0%}" for share in SHARES)
        lines.append(f"certainty of {trials} trials (search.trials): {reached}")
    lines.append("these are ranks: how much worse than the best the best 5 % are depends on the task")
    return lines
