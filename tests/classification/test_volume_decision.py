"""From logits to regions: calibration, spine, direction, intervals."""

import numpy as np
import pytest

from nets.classification.volume_decision import VolumeDecision

CLASSES = ("none", "legs", "pelvis", "abdomen", "chest", "head", "spine")
HEAT = 2.5  # how much too sure the simulated network is


def volume(rng, kind="body", correlation=4):
    """Logits whose softmax at temperature `HEAT` is right, with errors that neighbours share."""
    count = int(rng.integers(40, 120))
    if kind == "spine":
        truth = np.full(count, 6)
    else:
        first = int(rng.integers(1, 4))
        edges = np.sort(rng.choice(np.arange(6, count - 6), 2, replace=False))
        truth = first + np.searchsorted(edges, np.arange(count), side="right")
    noise = rng.normal(size=(count // correlation + 2, 7)).repeat(correlation, axis=0)[:count]
    return HEAT * (2.0 * np.eye(7)[truth] + noise), truth, 5.0


@pytest.fixture
def volumes(rng):
    return [volume(rng, "spine" if index % 4 == 0 else "body") for index in range(160)]


def test_temperature_is_found(volumes):
    """Confidences that are too high would be trusted."""
    decision = VolumeDecision(CLASSES).fit(volumes)
    logits = np.concatenate([volume[0] for volume in volumes])
    truth = np.concatenate([volume[1] for volume in volumes])
    probabilities = decision.probabilities(logits)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    assert abs(sure.mean() - right.mean()) < 0.03
    raw = VolumeDecision(CLASSES).probabilities(logits).max(axis=1)
    assert raw.mean() - right.mean() > 0.05, "the simulated network is not too sure: the test shows nothing"


def test_intervals_hold_on_other_volumes(volumes, rng):
    """Neighbouring slices err together; counted as independent, 90 % would mean 60 %."""
    decision = VolumeDecision(CLASSES).fit(volumes)
    others = [volume(np.random.default_rng(1000 + index)) for index in range(100)]
    assert 0.84 <= np.mean(decision.intervals_held(others)) <= 1.0
    assert decision.sharpness < 1.0
    naive = VolumeDecision(CLASSES, temperature=decision.temperature, sharpness=1.0)
    assert np.mean(naive.intervals_held(others)) < 0.84


def test_without_boundaries_nothing_is_claimed(rng):
    """A cohort of one region cannot calibrate intervals; the sharpest would be the worst guess."""
    volumes = [(logits, np.full(len(truth), 3), spacing) for logits, truth, spacing in (volume(rng) for _ in range(9))]
    decision = VolumeDecision(CLASSES).fit(volumes)
    assert decision.sharpness == VolumeDecision(CLASSES).sharpness
    assert decision.interval_share is None


def test_a_spine_examination_is_one_region(volumes, rng):
    """Decided within the chain it would be cut into abdomen and chest."""
    decision = VolumeDecision(CLASSES).fit(volumes)
    for kind in ("spine", "body"):
        found = [decision(*volume(rng, kind)[::2]) for _ in range(20)]
        assert sum((item.regions[0].name == "spine") == (kind == "spine") for item in found) >= 19
    spine = decision(*volume(rng, "spine")[::2])
    assert [region.name for region in spine.regions] == ["spine"]
    np.testing.assert_allclose(spine.marginals.sum(axis=1), 1.0)


def test_a_body_upside_down_is_noticed(volumes, rng):
    """A header that lies would put the head at the feet."""
    decision = VolumeDecision(CLASSES).fit(volumes)
    logits, _, spacing = volume(rng)
    assert decision(logits, spacing).reversed <= 0
    assert decision(logits[::-1], spacing).reversed > 0


def test_slices_are_those_of_the_regions(volumes, rng):
    """Order, contiguity, and air where nothing is seen."""
    decision = VolumeDecision(CLASSES).fit(volumes)
    logits, _, spacing = volume(rng)
    empty = np.tile(HEAT * 4.0 * np.eye(7)[0], (10, 1))
    decided = decision(np.concatenate([empty, logits, empty]), spacing)
    slices = decision.slices(decided)
    assert np.all(slices[:8] == 0)
    assert np.all(slices[-8:] == 0)
    assert np.all(np.diff(slices[slices > 0]) >= 0)
    for region in decided.regions:
        assert region.start_interval[0] <= region.start <= region.start_interval[1] or region.confidence < 0.9
        assert 0 < region.confidence <= 1
