"""Intervals over subjects: of pairs that share subjects, pairs are not independent."""

import numpy as np

DRAWS = 2000


def interval(pairs, values, seed=0):
    """95 % interval of a mean over pairs, by drawing subjects again with replacement.

    A pair counts as often as its two subjects were drawn together: the product of how often each was.

    Args:
        pairs: List of (moving, fixed), names or numbers of subjects.
        values: What was measured of each pair.
        seed: Integer.

    Returns:
        Lower and upper end.
    """
    subjects = sorted({subject for pair in pairs for subject in pair})
    places = np.array([[subjects.index(subject) for subject in pair] for pair in pairs])
    values = np.asarray(values, float)
    drawn = np.random.default_rng(seed).multinomial(len(subjects), [1 / len(subjects)] * len(subjects), DRAWS)
    weights = drawn[:, places[:, 0]] * drawn[:, places[:, 1]]
    weights = weights[weights.sum(axis=1) > 0]
    means = weights @ values / weights.sum(axis=1)
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]
