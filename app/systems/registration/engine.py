"""The engine as a `Registrar`: pairs are registered without a model, or on from a network's answer."""

import dataclasses
import time

import keras
import numpy as np

from app.finite import check_finite
from app.systems.registration.registrar import Registration
from app.training.run_folder import log
from nets.ops.sample import sample
from nets.registration.engine.deformable import register_pairs
from nets.registration.engine.method import Method, smoother
from nets.registration.engine.relation import mapped, monotone_share

MONOTONE = 0.9  # of the explained variance, from which on the local correlation serves
EXPLAINED = 0.2  # of the variance, from which on a curve between the intensities serves
SAID = {
    "ncc": "local correlation (squared)",
    "mse": "minus the mean squared difference",
    "nmi": "normalised mutual information",
    "mind": "minus the mean squared difference of MIND",
}


def chosen_similarity(moving, fixed, weights=None, symmetric=False):
    """What compares two images best, by how their intensities are related.

    Args:
        moving, fixed, weights: As of `nets.registration.engine.relation.monotone_share`.
        symmetric: Whether both images are to be treated alike, which "mapped" does not.

    Returns:
        "ncc", "mapped" or "mind", and the two shares of `monotone_share`.
    """
    share, explained = monotone_share(moving, fixed, weights)
    if share >= MONOTONE:
        return "ncc", share, explained
    return "mapped" if explained >= EXPLAINED and not symmetric else "mind", share, explained


def pair_registrar(similarity, levels, weights, symmetric=False):
    """What registers one pair without a model.

    Args:
        similarity: "ncc", "mapped", "nmi", "mind" or "mse".
        levels: Sequence of `Level`.
        weights: Of `EngineRegistrar`.
        symmetric: Of `Method`.

    Returns:
        `Registrar`.
    """
    if similarity == "mapped":
        return MappedRegistrar(Method(levels, "ncc", symmetric, repeated=False), weights)
    if similarity == "mind":
        levels = smoother(levels)
    return EngineRegistrar(Method(levels, similarity, symmetric, repeated=False), weights)


class EngineRegistrar:
    """Registers each pair by an optimisation of its own; see `nets.registration.engine.deformable`.

    Args:
        method: `Method`.
        weights: Array `(*shape, 1)`: how much each voxel of the fixed image counts; None for 1 everywhere.
        stage: Of several, for the log.
    """

    hyper_parameters = ()

    def __init__(self, method=None, weights=None, stage=""):
        self.method = method or Method()
        self.weights = weights
        self.stage = stage
        self.curve = []

    @property
    def similarity(self):
        """What is compared."""
        return self.method.similarity

    def __call__(self, moving, fixed, hyper, start=None):
        """See `Registrar.__call__`; afterwards `curve` has the similarity over the iterations of each level.

        `start`: displacement `(*shape, rank)` to begin with; None for 0.
        """
        del hyper
        self.curve = []
        weights, start = (None if array is None else array[None] for array in (self.weights, start))
        started = time.perf_counter()
        field = register_pairs(moving[None], fixed[None], self.method, weights, start, self._note)
        field = keras.ops.convert_to_numpy(field)
        seconds = time.perf_counter() - started
        check_finite(field[0], "the displacement")
        moved = keras.ops.convert_to_numpy(sample(moving[None], field))
        self._log_level()
        return Registration(np.array(field[0]), moved[0], None, seconds)

    def _note(self, factor, iteration, similarity):
        if self.curve and self.curve[-1]["level"] != factor:
            self._log_level()
        self.curve.append({"level": factor, "iteration": iteration, "similarity": float(similarity[0])})

    def _log_level(self):
        """Say what the last level did."""
        if not self.curve:
            return
        points = [point for point in self.curve if point["level"] == self.curve[-1]["level"]]
        log(
            f"{self.stage}level 1/{points[-1]['level']}: {points[-1]['iteration']} iterations, "
            f"{SAID[self.similarity]} {points[0]['similarity']:.4f} to {points[-1]['similarity']:.4f}"
        )


class MappedRegistrar:
    """The engine on the moving image with the fixed one's intensities: see `nets.registration.engine.relation.mapped`.

    The curve between the intensities is measured where the images lie, and again after the coarse levels.

    Args:
        method: `Method`.
        weights: Of `EngineRegistrar`.
    """

    hyper_parameters = ()
    similarity = "mapped"

    def __init__(self, method, weights=None):
        self.engine = EngineRegistrar(method, weights)
        coarse = tuple(level for level in method.levels if level.factor > 1)
        self.coarse = EngineRegistrar(dataclasses.replace(method, levels=coarse), weights, "for the curve: ")
        self.weights = weights

    @property
    def curve(self):
        """Of the engine."""
        return self.engine.curve

    def __call__(self, moving, fixed, hyper, start=None):
        """See `EngineRegistrar.__call__`."""
        first = self.coarse(mapped(moving, moving, fixed, self.weights), fixed, hyper, start)
        warped = keras.ops.convert_to_numpy(sample(moving[None], first.displacement[None]))[0]
        result = self.engine(mapped(moving, warped, fixed, self.weights), fixed, hyper, start)
        moved = keras.ops.convert_to_numpy(sample(moving[None], result.displacement[None]))[0]
        return dataclasses.replace(result, moved=moved, seconds=first.seconds + result.seconds)


class RefinedRegistrar:
    """A network's answer, improved by the engine.

    Args:
        network: `Registrar`.
        engine: What improves it, `EngineRegistrar` or `MappedRegistrar`.
    """

    def __init__(self, network, engine):
        self.network = network
        self.engine = engine
        self.hyper_parameters = network.hyper_parameters
        self.similarity = engine.similarity

    @property
    def curve(self):
        """Of the engine."""
        return self.engine.curve

    def __call__(self, moving, fixed, hyper):
        """See `Registrar.__call__`."""
        answer = self.network(moving, fixed, hyper)
        refined = self.engine(moving, fixed, (), answer.displacement)
        return dataclasses.replace(refined, seconds=answer.seconds + refined.seconds)
