"""A volume's regions from the logits of its slices: calibrated, ordered, with intervals."""

import dataclasses
import itertools

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from nets.classification.decision import Chain, decide, posterior

SHARPNESS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
ENOUGH_BOUNDARIES = 10


@dataclasses.dataclass(frozen=True)
class Region:
    """A region of a decided volume.

    Args:
        name: Class.
        start, stop: Slices `start` to `stop - 1`.
        confidence: Mean posterior probability of the region over its slices.
        start_interval, stop_interval: Boundaries (slice numbers as `start` and `stop`) that hold the true one with
            a probability of 90 %; the region's own where the field of view cuts it.
    """

    name: str
    start: int
    stop: int
    confidence: float
    start_interval: tuple
    stop_interval: tuple


@dataclasses.dataclass(frozen=True)
class Decided:
    """A volume's decision.

    Args:
        regions: List of `Region` from the first slice on; none where nothing is seen.
        spine: Probability that the volume is an examination of the spine.
        reversed: How much likelier, in logarithms, the body lies the other way round.
        marginals: `(slices, classes)`: posterior of each slice, in the classes' order.
    """

    regions: list
    spine: float
    reversed: float
    marginals: np.ndarray


@dataclasses.dataclass(frozen=True)
class VolumeDecision:
    """What turns logits into regions; `fit` finds its numbers.

    A volume is an examination of the spine (one region) or of the body, by a logistic function of its mean
    margin of the class "spine": one that would otherwise lie across all others. A body is decided by
    the chain "none", regions in their order, "none" (see `decide`), over tempered log-probabilities.

    Args:
        classes: Names: "none", the regions from the feet upwards, "spine".
        least_mm: Least length of a region that the field of view does not cut.
        skip: Price of leaving out a region between two others, in units of a slice's log-probability: at 40 some
            ten slices that are sure of it; lower it for volumes put together from pieces that do not touch.
        temperature: Divides the logits.
        sharpness: Weight of a slice: neighbours repeat each other's errors, and to count them as independent
            would make every interval too narrow.
        slope, shift: Of the logistic function.
        interval_share: Share of the validation boundaries that their 90 % intervals hold; None where there
            were too few to calibrate.
    """

    classes: tuple
    least_mm: float = 60.0
    skip: float = 40.0
    temperature: float = 1.0
    sharpness: float = 0.1
    slope: float = 1.0
    shift: float = 0.0
    interval_share: float | None = None

    def fit(self, volumes):
        """Calibrate on volumes that were not trained on.

        Temperature: least cross-entropy of the slices. Logistic function: least cross-entropy of the volumes,
        with a little ridge. Sharpness: the highest for which 90 % intervals hold 90 % of the boundaries.

        Args:
            volumes: List of `(logits, classes, spacing_mm)`; classes -1 are ignored.

        Returns:
            `VolumeDecision`.
        """
        logits = np.concatenate([volume[0] for volume in volumes])
        truth = np.concatenate([volume[1] for volume in volumes])
        logits, truth = logits[truth >= 0], truth[truth >= 0]

        def entropy(log_temperature):
            return -log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(truth)), truth].mean()

        temperature = float(np.exp(minimize_scalar(entropy, bounds=(-3, 3), method="bounded").x))
        decision = dataclasses.replace(self, temperature=temperature)
        margins = np.array([decision._margin(volume[0]) for volume in volumes])
        spine = np.array([np.any(volume[1] == len(self.classes) - 1) for volume in volumes])
        decision = dataclasses.replace(decision, **_logistic(margins, spine))
        bodies = [volume for volume, is_spine in zip(volumes, spine, strict=True) if not is_spine]
        for sharpness in SHARPNESS[::-1]:
            sharper = dataclasses.replace(decision, sharpness=sharpness)
            held = sharper.intervals_held(bodies)
            if len(held) < ENOUGH_BOUNDARIES:  # one-region cohorts: nothing to calibrate on
                return dataclasses.replace(decision, interval_share=None)
            if np.mean(held) >= 0.9:
                break
        return dataclasses.replace(sharper, interval_share=float(np.mean(held)))

    def probabilities(self, logits):
        """Calibrated probabilities of slices, `(slices, classes)`."""
        return np.exp(log_softmax(np.asarray(logits, float) / self.temperature, axis=1))

    def __call__(self, logits, spacing_mm):
        """Decide a volume.

        Args:
            logits: `(slices, classes)` from the feet upwards.
            spacing_mm: Between slices.

        Returns:
            `Decided`.
        """
        logits = np.asarray(logits, float)
        spine = float(expit(self.slope * self._margin(logits) + self.shift))
        count = len(logits)
        if spine > 0.5:
            marginals = np.zeros((count, len(self.classes)))
            marginals[:, -1] = 1.0
            whole = Region("spine", 0, count, spine, (0, 0), (count, count))
            return Decided([whole], spine, 0.0, marginals)
        scores, chain = self._scores(logits), self._chain(spacing_mm)
        segments, value = decide(scores, chain)
        reversed_by = decide(scores[::-1], chain)[1] - value
        beliefs = posterior(scores, chain)
        marginals = np.zeros((count, len(self.classes)))
        marginals[:, : chain.classes - 1] = beliefs.marginals[:, :-1]
        marginals[:, 0] += beliefs.marginals[:, -1]
        regions = []
        for index, segment in enumerate(segments):
            if not 0 < segment.label < chain.classes - 1:
                continue
            after = segments[index + 1].label if index + 1 < len(segments) else None
            regions.append(Region(
                self.classes[segment.label], segment.start, segment.stop,
                float(beliefs.marginals[segment.start : segment.stop, segment.label].mean()),
                (0, 0) if segment.start == 0 else beliefs.interval(segment.label),
                (count, count) if after is None else beliefs.interval(after),
            ))  # fmt: skip
        return Decided(regions, spine, float(reversed_by), marginals)

    def slices(self, decided):
        """Class of each slice of a decided volume.

        Args:
            decided: `Decided`.

        Returns:
            `(slices,)` integers.
        """
        classes = np.zeros(len(decided.marginals), int)
        for region in decided.regions:
            classes[region.start : region.stop] = self.classes.index(region.name)
        return classes

    def _margin(self, logits):
        logs = log_softmax(np.asarray(logits, float) / self.temperature, axis=1)
        return float(np.mean(np.clip(logs[:, -1] - logs[:, 1:-1].max(axis=1), -8, 8)))

    def _scores(self, logits):
        logs = log_softmax(logits[:, :-1] / self.temperature, axis=1)
        logs = np.concatenate([logs, logs[:, :1]], axis=1)
        return self.sharpness * np.maximum(logs, -12.0)  # no single slice decides alone

    def _chain(self, spacing_mm):
        length = max(1, int(np.ceil(self.least_mm / spacing_mm)))
        return Chain((1, *[length] * (len(self.classes) - 2), 1), self.skip * self.sharpness)

    def intervals_held(self, volumes):
        """Whether its interval holds it, for every boundary between two regions.

        Args:
            volumes: As for `fit`.

        Returns:
            List of booleans, see `shared_boundaries`.
        """
        return [
            region.start_interval[0] <= place <= region.start_interval[1]
            for logits, truth, spacing in volumes
            for place, region in shared_boundaries(truth, self(logits, spacing), self.classes)
        ]


def shared_boundaries(truth, decided, classes):
    """Boundaries between two regions that both truth and decision have.

    Args:
        truth: `(n,)` integers; negative ones are unknown.
        decided: `Decided`.
        classes: Names.

    Returns:
        List of the slice before which the upper region truly begins, and the decided `Region` that begins there. A
        region that is decided to be cut by the first slice has no boundary.
    """
    begun = {region.name: region for region in decided.regions if region.start > 0}
    return [
        (place, begun[classes[after]])
        for place, (before, after) in enumerate(itertools.pairwise(truth), start=1)
        if 0 < before < after and classes[after] in begun
    ]


def _logistic(margins, spine):
    """Slope and shift of a logistic regression with a ridge of 0.01; margins lie within [-8, 8]."""
    sign = np.where(spine, 1.0, -1.0)

    def cost(parameters):
        return (
            np.logaddexp(0, -sign * (parameters[0] * margins + parameters[1])).mean() + 0.01 * parameters @ parameters
        )

    slope, shift = minimize(cost, [1.0, 0.0]).x
    return {"slope": float(slope), "shift": float(shift)}
