"""From the probabilities of slices to regions of a volume: exact, by dynamic programming."""

import dataclasses

import numpy as np
from scipy.special import logsumexp

NOWHERE = -np.inf


@dataclasses.dataclass(frozen=True)
class Chain:
    """Which sequences of regions are possible, in the order of the slices.

    A volume is a chain of segments, each of one class, the classes in their order. The first and
    the last class are air (empty slices below and above the body). A segment that reaches neither
    the first nor the last slice is not cut by the field of view, and has its class' minimal length.

    Args:
        lengths: Least number of slices of each class, in order; air's are 1.
        skip: What it costs, in units of the scores, to leave out a class between two others.
    """

    lengths: tuple
    skip: float = 0.0

    @property
    def classes(self):
        """Number of classes, air at both ends included."""
        return len(self.lengths)

    def cost(self, before, after):
        """Price of one class following another.

        Args:
            before, after: Indices of the classes.

        Returns:
            Float; air at either end follows anything for nothing.
        """
        inner = before > 0 and after < self.classes - 1
        return self.skip * (after - before - 1) if inner else 0.0


@dataclasses.dataclass(frozen=True)
class Segment:
    """Slices `start` to `stop - 1` show one class."""

    label: int
    start: int
    stop: int


def decide(scores, chain):
    """The chain of segments with the highest sum of scores, less the costs of what it leaves out.

    Exact in O(slices x classes^2): with logarithms of probabilities it is the most likely chain; with
    probabilities it is the thesis' problem (eq. 2.23), which is solved there by enumeration.

    Args:
        scores: `(slices, classes)`, finite, in the chain's order.
        chain: `Chain`.

    Returns:
        List of `Segment` that together cover all slices, and their value.

    Raises:
        ValueError: If shapes do not fit or a score is not finite.

    Reference:
        - Bertrand, thesis, 2019, section 2.6.4.
    """
    sums = _sums(scores, chain)
    count, classes = len(sums) - 1, chain.classes
    ends = np.full((classes, count + 1), NOWHERE)  # best value with the class' segment ending before slice t
    begins = np.zeros((classes, count + 1), int)  # where that segment begins
    befores = np.full((classes, count + 1), -1)  # class before a segment that begins at s
    for label in range(classes):
        start, befores[label] = _starts(ends, label, chain)
        gain = start - sums[:, label]
        best, where = _running_best(gain)
        length = chain.lengths[label]
        if length <= count:
            ends[label, length:] = best[: count + 1 - length] + sums[length:, label]
            begins[label, length:] = where[: count + 1 - length]
        early = np.arange(1, min(length, count + 1))  # cut by the first slice
        ends[label, early] = gain[0] + sums[early, label]
        begins[label, early] = 0
        # Cut by the last slice: any length.
        ends[label, count] = best[count - 1] + sums[count, label]
        begins[label, count] = where[count - 1]
    label = int(np.argmax(ends[:, count]))
    value, stop, segments = float(ends[label, count]), count, []
    while stop > 0:
        start = int(begins[label, stop])
        segments.append(Segment(label, start, stop))
        label, stop = int(befores[label, start]), start
    return segments[::-1], value


@dataclasses.dataclass(frozen=True)
class Posterior:
    """All chains, weighed by the exponential of their value.

    Args:
        marginals: `(slices, classes)`: probability that a slice shows a class.
        starts: `(slices + 1, classes)`: probability that a segment of a class begins before a slice.
        evidence: Logarithm of the sum over all chains.
    """

    marginals: np.ndarray
    starts: np.ndarray
    evidence: float

    def interval(self, label, share=0.9):
        """Where a class begins, if it does, with a given probability.

        Args:
            label: Class.
            share: Probability.

        Returns:
            Two slice boundaries (0 is below the first slice), possibly equal.
        """
        total = np.cumsum(self.starts[:, label])
        low, high = np.searchsorted(total / total[-1], [(1 - share) / 2, (1 + share) / 2])
        return int(low), int(min(high, len(total) - 1))


def posterior(scores, chain):
    """Forward and backward sums over all chains.

    Args:
        scores: `(slices, classes)`, logarithms of probabilities, perhaps tempered.
        chain: `Chain`.

    Returns:
        `Posterior`.
    """
    sums = _sums(scores, chain)
    count, classes = len(sums) - 1, chain.classes
    ends = np.full((classes, count + 1), NOWHERE)
    starts = np.full((classes, count + 1), NOWHERE)
    for label in range(classes):
        starts[label] = _start_sums(ends, label, chain)
        ends[label] = _segment_sums(starts[label], sums[:, label], chain.lengths[label])
    evidence = float(logsumexp(ends[:, count]))
    # The same from the other end: mirrored slices, classes in reverse.
    mirrored = sums[-1] - sums[::-1]
    back_ends = np.full((classes, count + 1), NOWHERE)
    back_starts = np.full((classes, count + 1), NOWHERE)
    for label in range(classes)[::-1]:
        terms = [back_ends[other] - chain.cost(label, other) for other in range(label + 1, classes)]
        back_starts[label] = logsumexp(terms, axis=0) if terms else NOWHERE
        back_starts[label, 0] = 0.0
        back_ends[label] = _segment_sums(back_starts[label], mirrored[:, label], chain.lengths[label])
    back_ends = back_ends[:, ::-1]  # by the slice before which the segment begins
    back_starts = back_starts[:, ::-1]  # by the slice before which it ends
    begin = np.exp(starts + back_ends - evidence).T
    end = np.exp(ends + back_starts - evidence).T
    marginals = np.clip(np.cumsum(begin - end, axis=0)[:-1], 0.0, 1.0)
    return Posterior(marginals / marginals.sum(axis=1, keepdims=True), begin, evidence)


def _sums(scores, chain):
    scores = np.asarray(scores, float)
    if scores.ndim != 2 or scores.shape[1] != chain.classes or not len(scores):
        raise ValueError(f"Expected scores of shape (slices, {chain.classes}). Received: {scores.shape}")
    if not np.all(np.isfinite(scores)):
        raise ValueError("Expected finite scores; clip probabilities before their logarithm.")
    return np.concatenate([np.zeros((1, chain.classes)), np.cumsum(scores, axis=0)])


def _starts(ends, label, chain):
    """Best value before a segment of a class that begins at each slice, and the class there."""
    start, before = np.full(ends.shape[1], NOWHERE), np.full(ends.shape[1], -1)
    start[0] = 0.0
    for other in range(label):
        value = ends[other] - chain.cost(other, label)
        better = value > start
        start, before = np.where(better, value, start), np.where(better, other, before)
    return start, before


def _running_best(values):
    best = np.maximum.accumulate(values)
    fresh = np.r_[True, values[1:] > best[:-1]]
    return best, np.maximum.accumulate(np.where(fresh, np.arange(len(values)), 0))


def _start_sums(ends, label, chain):
    terms = [ends[other] - chain.cost(other, label) for other in range(label)]
    start = logsumexp(terms, axis=0) if terms else np.full(ends.shape[1], NOWHERE)
    start[0] = 0.0
    return start


def _segment_sums(start, sums, length):
    """Logarithm of the sum over all segments of a class that end before each slice."""
    count = len(sums) - 1
    running = np.logaddexp.accumulate(start - sums)
    ends = np.full(count + 1, NOWHERE)
    if length <= count:
        ends[length:] = running[: count + 1 - length] + sums[length:]
    early = np.arange(1, min(length, count + 1))
    ends[early] = start[0] - sums[0] + sums[early]
    ends[count] = running[count - 1] + sums[count]
    return ends
