"""The engine as a `Registrar`: pairs are registered without a model."""

import time

import keras
import numpy as np

from app.finite import check_finite
from app.systems.registration.registrar import Registration
from app.training.run_folder import log
from nets.ops.sample import sample
from nets.registration.engine.deformable import PRESETS, register_pairs


class EngineRegistrar:
    """Registers each pair by an optimisation of its own; see `nets.registration.engine.deformable`.

    Args:
        preset: Key of `PRESETS`.
        weights: Array `(*shape, 1)`: how much each voxel of the fixed image counts; None for 1 everywhere.
        repeated: Whether many pairs of one size are registered.
    """

    hyper_parameters = ()

    def __init__(self, preset="default", weights=None, repeated=True):
        self.levels = PRESETS[preset]
        self.weights = weights
        self.repeated = repeated
        self.curve = []

    def __call__(self, moving, fixed, hyper):
        """See `Registrar.__call__`; afterwards `curve` has the similarity over the iterations of each level."""
        del hyper
        self.curve = []
        weights = None if self.weights is None else self.weights[None]
        started = time.perf_counter()
        field = register_pairs(
            moving[None], fixed[None], self.levels, weights=weights, report=self._note, repeated=self.repeated
        )
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
                f"level 1/{factor}: {points[-1]['iteration']} iterations, local correlation (squared) "
                f"{points[0]['similarity']:.4f} to {points[-1]['similarity']:.4f}"
            )
