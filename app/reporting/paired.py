"""Two methods on the same pairs: what differs, and whether chance explains it."""

import numpy as np

from app.reporting.intervals import interval

LEAST = 5  # subjects, below which no test says anything


def compare(pairs, ours, theirs):
    """Differences of two methods, measure by measure, over subjects.

    The test is Wilcoxon's signed-rank test on each subject's mean difference over the pairs that it is in, since pairs
    that share a subject are not independent; p-values are corrected for their number by Holm's method.

    Args:
        pairs: List of (moving, fixed) names of subjects.
        ours: Dict from measure to values over pairs; NaN where it was not measured.
        theirs: The same of the other method.

    Returns:
        Dict from measure to dict of `difference` (ours less theirs), `low` and `high` (95 % over subjects), `pairs`,
        `p` and `p_corrected`; the last two are None with fewer than five subjects, or without any difference.
    """
    results = {}
    for name in ours:
        if name not in theirs:
            continue
        difference = np.asarray(ours[name], float) - np.asarray(theirs[name], float)
        known = np.isfinite(difference)
        if not known.any():
            continue
        kept = [pair for pair, one in zip(pairs, known, strict=True) if one]
        low, high = interval(kept, difference[known])
        results[name] = {
            "difference": float(difference[known].mean()), "low": low, "high": high, "pairs": int(known.sum()),
            "p": _p_value(kept, difference[known]),
        }  # fmt: skip
    for name, corrected in _holm({name: row["p"] for name, row in results.items()}).items():
        results[name]["p_corrected"] = corrected
    return results


def _p_value(pairs, difference):
    from scipy.stats import wilcoxon

    subjects = sorted({subject for pair in pairs for subject in pair})
    means = [
        np.mean([value for pair, value in zip(pairs, difference, strict=True) if subject in pair])
        for subject in subjects
    ]
    if len(subjects) < LEAST or not np.any(means):
        return None
    return float(wilcoxon(means).pvalue)


def _holm(values):
    """Holm's correction of those that are not None."""
    known = sorted((value, name) for name, value in values.items() if value is not None)
    corrected, largest = dict.fromkeys(values), 0.0
    for place, (value, name) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - place)))
        corrected[name] = largest
    return corrected
