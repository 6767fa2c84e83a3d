"""The decision over a volume against enumeration of every chain, and against the thesis' scheme."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.thesis_decision import thesis_decision
from nets.classification.decision import Chain, Segment, decide, posterior


def every_chain(count, chain):
    """All admissible lists of segments, by brute force over the cuts."""
    for pieces in range(1, chain.classes + 1):
        for labels in itertools.combinations(range(chain.classes), pieces):
            for cuts in itertools.combinations(range(1, count), pieces - 1):
                edges = (0, *cuts, count)
                segments = [Segment(*item) for item in zip(labels, edges[:-1], edges[1:], strict=True)]
                cut = [segment.start == 0 or segment.stop == count for segment in segments]
                long = [segment.stop - segment.start >= chain.lengths[segment.label] for segment in segments]
                if np.all(np.array(cut) | long):
                    yield segments


def value(segments, scores, chain):
    total = sum(scores[segment.start : segment.stop, segment.label].sum() for segment in segments)
    return total - sum(chain.cost(a.label, b.label) for a, b in itertools.pairwise(segments))


@st.composite
def problems(draw):
    count, classes = draw(st.integers(1, 7)), draw(st.integers(2, 5))
    lengths = tuple(draw(st.lists(st.integers(1, 4), min_size=classes, max_size=classes)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probabilities = rng.dirichlet(np.full(classes, 0.4), count) + 1e-6
    return np.log(probabilities), Chain(lengths, draw(st.sampled_from([0.0, 0.7, 4.0])))


@given(problems())
@settings(max_examples=200, deadline=None)
def test_the_decision_is_the_best_of_all_chains(problem):
    """A dynamic programme that misses a chain would be no better than the thesis' enumeration."""
    scores, chain = problem
    segments, best = decide(scores, chain)
    assert best == pytest.approx(max(value(item, scores, chain) for item in every_chain(len(scores), chain)))
    assert value(segments, scores, chain) == pytest.approx(best)
    assert segments in list(every_chain(len(scores), chain))


@given(problems())
@settings(max_examples=100, deadline=None)
def test_posteriors_are_the_sums_over_all_chains(problem):
    """Confidences and intervals would be wrong by exactly what the recursion forgets."""
    scores, chain = problem
    chains = list(every_chain(len(scores), chain))
    weights = np.array([value(item, scores, chain) for item in chains])
    evidence = np.logaddexp.reduce(weights)
    weights = np.exp(weights - evidence)
    marginals, starts = np.zeros_like(scores), np.zeros((len(scores) + 1, chain.classes))
    for item, weight in zip(chains, weights, strict=True):
        for segment in item:
            marginals[segment.start : segment.stop, segment.label] += weight
            starts[segment.start, segment.label] += weight
    found = posterior(scores, chain)
    assert found.evidence == pytest.approx(evidence)
    np.testing.assert_allclose(found.marginals, marginals, atol=1e-9)
    np.testing.assert_allclose(found.starts, starts, atol=1e-9)


def body(rng, count, noise):
    """Probabilities along a simulated body, blurred and wrong here and there."""
    edges = np.sort(rng.choice(np.arange(1, count), 6, replace=False))
    truth = np.searchsorted(edges, np.arange(count), side="right")
    logits = 3.0 * np.eye(7)[truth] + noise * rng.normal(size=(count, 7))
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), truth


def test_never_worse_than_the_thesis(rng):
    """On the thesis' own objective, the sum of smoothed probabilities, with its choice of classes."""
    better = 0
    for _ in range(20):
        probabilities, _ = body(rng, 60, 2.0)
        smoothed, segments = thesis_decision(probabilities[:, 1:-1])
        scores = np.concatenate([np.full((60, 1), -9.0), smoothed, np.full((60, 1), -9.0)], axis=1)
        chain = Chain((1,) * 7)
        _, best = decide(scores, chain)
        theirs = sum(smoothed[segment.start : segment.stop, segment.label].sum() for segment in segments)
        assert best >= theirs - 1e-9
        better += best > theirs + 1e-9
    assert better > 0, "the enumeration of intersections was optimal everywhere: the comparison shows nothing"


def test_a_noisy_body_is_put_in_order(rng):
    """Half of the slices wrong at random, and still every boundary within two slices."""
    probabilities, truth = body(rng, 200, 2.0)
    assert np.mean(probabilities.argmax(axis=1) != truth) > 0.15
    segments, _ = decide(np.log(probabilities), Chain((1,) * 7))
    decided = np.concatenate([np.full(segment.stop - segment.start, segment.label) for segment in segments])
    assert np.mean(decided != truth) < 0.03


def test_600_slices_in_under_20_milliseconds(rng):
    """A slow decision would be felt over an archive."""
    probabilities, _ = body(rng, 600, 1.0)
    chain = Chain((1, 5, 5, 5, 5, 5, 1), 3.0)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        decide(np.log(probabilities), chain)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.020


def test_intervals_hold_the_boundary_as_often_as_they_say(rng):
    """90 % intervals of boundaries drawn from the model itself hold 90 % of them."""
    held = []
    for _ in range(200):
        count = 40
        edge = int(rng.integers(8, 32))
        truth = (np.arange(count) >= edge).astype(int)
        logits = 1.0 * np.eye(2)[truth] + rng.normal(size=(count, 2))
        # With unit noise a logit difference of 1 is a log-likelihood ratio.
        scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        low, high = posterior(scores, Chain((1, 1))).interval(1)
        held.append(low <= edge <= high)
    assert 0.86 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("scores", [np.zeros((3, 4)), np.zeros((0, 2)), np.full((3, 2), -np.inf)])
def test_what_cannot_be_decided_is_refused(scores):
    """-inf, of a probability of 0, would silently forbid a chain."""
    with pytest.raises(ValueError, match="Expected"):
        decide(scores, Chain((1, 1)))
