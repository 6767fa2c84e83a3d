"""Two methods on the same pairs, and intervals over subjects: against SciPy and by simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import wilcoxon

from app.reporting.intervals import interval
from app.reporting.paired import compare

SUBJECTS = [f"s{number}" for number in range(8)]
PAIRS = list(itertools.permutations(SUBJECTS, 2))


def test_differences_and_p_values(rng):
    """A shift that is there, chance, and a measure that was not taken: SciPy's p on subjects' means, and Holm's."""
    base = rng.normal(size=len(PAIRS))
    ours = {
        "dice": base + 0.5 + 0.1 * rng.normal(size=len(PAIRS)),
        "hd95_mm": base,
        "tre_mm": np.full(len(PAIRS), np.nan),
    }
    theirs = {"dice": base, "hd95_mm": base + 0.3 * rng.normal(size=len(PAIRS)), "tre_mm": base}
    rows = compare(PAIRS, ours, theirs)
    assert set(rows) == {"dice", "hd95_mm"}
    expected = {}
    for name in rows:
        difference = ours[name] - theirs[name]
        means = [np.mean([d for pair, d in zip(PAIRS, difference, strict=True) if s in pair]) for s in SUBJECTS]
        expected[name] = wilcoxon(means).pvalue
        assert rows[name]["difference"] == pytest.approx(difference.mean())
        assert rows[name]["p"] == pytest.approx(expected[name])
        assert rows[name]["low"] < rows[name]["difference"] < rows[name]["high"]
    first, second = sorted(expected, key=expected.get)
    assert rows[first]["p_corrected"] == pytest.approx(min(1, 2 * expected[first]))
    assert rows[second]["p_corrected"] == pytest.approx(max(rows[first]["p_corrected"], expected[second]))


def test_few_subjects_have_no_p(rng):
    """With three subjects no test can say anything; the difference is shown all the same."""
    pairs = list(itertools.permutations(SUBJECTS[:3], 2))
    rows = compare(pairs, {"dice": rng.random(6)}, {"dice": rng.random(6)})
    assert rows["dice"]["p"] is None
    assert rows["dice"]["p_corrected"] is None


def test_intervals_over_subjects_are_wider_than_over_pairs(rng):
    """Each subject shifts all of its pairs: the spread over new subjects, is what the interval covers."""
    means, widths = [], []
    for seed in range(60):
        own = dict(zip(SUBJECTS, np.random.default_rng(seed).normal(size=len(SUBJECTS)), strict=True))
        values = [own[moving] + own[fixed] + 0.01 * rng.normal() for moving, fixed in PAIRS]
        low, high = interval(PAIRS, values, seed)
        means.append(np.mean(values))
        widths.append(high - low)
    covered = np.mean([abs(mean) < width / 2 for mean, width in zip(means, widths, strict=True)])
    assert 0.8 < covered <= 1.0
    over_pairs = 2 * 1.96 * np.std(values) / np.sqrt(len(values))
    assert np.mean(widths) > 1.5 * over_pairs
