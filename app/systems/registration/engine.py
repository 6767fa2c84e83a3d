"""The engine as a `Registrar`: pairs are registered without a model, or on from a network's answer."""

import dataclasses
import time

import keras
import numpy as np

from app.finite import check_finite
from app.systems.registration.registrar import Registration
from app.training.run_folder import log
from nets.ops.sample import sample
from nets.registration.engine.deformable import PRESETS, Method, register_pairs

SAID = {
    "ncc": "local correlation (squared)",
    "mse": "minus the mean squared difference",
    "mind": "minus the mean squared difference of MIND",
}


class EngineRegistrar:
    """Registers each pair by an optimisation of its own; see `nets.registration.engine.deformable`.

    Args:
        method: `Method`.
        weights: Array `(*shape, 1)`: how much each voxel of the fixed image counts; None for 1 everywhere.
    """

    hyper_parameters = ()

    def __init__(self, method=None, weights=None):
        self.method = method or Method()
        self.weights = weights
        self.curve = []

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
        self._log_levels()
        return Registration(np.array(field[0]), moved[0], None, seconds)

    def _note(self, factor, iteration, similarity):
        self.curve.append({"level": factor, "iteration": iteration, "similarity": float(similarity[0])})

    def _log_levels(self):
        for factor in dict.fromkeys(point["level"] for point in self.curve):
            points = [point for point in self.curve if point["level"] == factor]
            log(
                f"level 1/{factor}: {points[-1]['iteration']} iterations, {SAID[self.method.similarity]} "
                f"{points[0]['similarity']:.4f} to {points[-1]['similarity']:.4f}"
            )


class RefinedRegistrar:
    """A network's answer, improved by the engine at full resolution.

    Args:
        network: `Registrar`.
        iterations: Of the engine, at most.
        similarity: Of `Method`.
        weights: Of `EngineRegistrar`.
    """

    def __init__(self, network, iterations, similarity="ncc", weights=None):
        self.network = network
        finest = dataclasses.replace(PRESETS["default"][-1], iterations=iterations)
        self.engine = EngineRegistrar(Method((finest,), similarity, repeated=False), weights)
        self.hyper_parameters = network.hyper_parameters

    @property
    def curve(self):
        """Of the engine."""
        return self.engine.curve

    def __call__(self, moving, fixed, hyper):
        """See `Registrar.__call__`."""
        answer = self.network(moving, fixed, hyper)
        refined = self.engine(moving, fixed, (), answer.displacement)
        return dataclasses.replace(refined, seconds=answer.seconds + refined.seconds)
