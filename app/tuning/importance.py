"""Which hyper-parameters matter, by a Gaussian process over what was tried."""

import dataclasses

import numpy as np

from app.tuning.surrogate import Surrogate


@dataclasses.dataclass
class Slice:
    """Prediction along one hyper-parameter, the others as in the best configuration.

    Args:
        name: Hyper-parameter.
        values: Its values along the slice.
        middle, low, high: Arrays: median and the bounds within one deviation.
        tried: Values tried.
        found: What was found there.
    """

    name: str
    values: list
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    tried: list
    found: list


def importance(space, observations, rng, draws=512, points=16):
    """Share of the prediction's variance that each hyper-parameter explains alone (first-order Sobol index).

    Args:
        space: `Space`.
        observations: List of `Observation`.
        rng: `numpy.random.Generator`.
        draws: Configurations over which the others are averaged.
        points: Positions of each hyper-parameter.

    Returns:
        Dict from name to share in [0, 1].
    """
    surrogate = Surrogate(space)
    rows = space.places(draws, rng)
    total = np.var(surrogate.predict(observations, space.active(rows), rng)[0])
    shares = {}
    for column, name in enumerate(space.names):
        positions = np.unique(space.places(points, rng)[:, column])
        means = []
        for position in positions:
            moved = rows.copy()
            moved[:, column] = position
            means.append(surrogate.predict(observations, space.active(moved), rng)[0].mean())
        shares[name] = max(shares.get(name, 0.0), float(min(1.0, np.var(means) / total)) if total > 0 else 0.0)
    return shares


def predicted_slices(space, observations, rng, points=41):
    """Predictions along each hyper-parameter through the best configuration.

    Args:
        space: `Space`.
        observations: List of `Observation`.
        rng: `numpy.random.Generator`.
        points: Positions along a continuous one.

    Returns:
        List of `Slice`, on the scale that is minimised.
    """
    surrogate = Surrogate(space)
    best = min(observations, key=lambda observation: observation.value)
    predicted = []
    for column, name in enumerate(space.names):
        if np.isnan(best.row[column]):
            continue
        positions = space.positions(column, points)
        rows = np.repeat(space.completed(best.row)[None], len(positions), axis=0)
        rows[:, column] = positions
        middle, low, high = surrogate.predict(observations, space.active(rows), rng)
        there = [observation for observation in observations if not np.isnan(observation.row[column])]
        predicted.append(
            Slice(
                name,
                [space.values(row)[name] for row in rows],
                middle,
                low,
                high,
                [space.values(value.row)[name] for value in there],
                [item.value for item in there],
            )
        )
    return predicted
