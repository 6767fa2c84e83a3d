"""What registers a pair of images: one protocol, for a network and for whatever else can do it."""

import dataclasses
import time
from typing import Protocol

import numpy as np

from app.export.saved_model import Endpoint, traced_once
from app.finite import check_finite
from app.systems.registration.measure import evaluate_pairs, summarise
from app.systems.registration.report import evaluation_of
from app.systems.steps import Predictor
from nets.ops.intensity import to_unit_range
from nets.ops.sample import sample


@dataclasses.dataclass(frozen=True)
class Registration:
    """One pair, registered.

    Args:
        displacement: `(*shape, rank)`, float32, in voxels of the fixed image, pull-back.
        moved: `(*shape, 1)`, float32: the moving image at the displaced places.
        velocity: On its own grid, in its voxels; None without.
        seconds: Of the registration, the images in memory.
    """

    displacement: np.ndarray
    moved: np.ndarray
    velocity: np.ndarray | None
    seconds: float


class Registrar(Protocol):
    """Registers pairs; all measurements of registration take one.

    Attributes:
        hyper_parameters: Sequence of what it can be asked for, each with `name`, `low` and `high`.
    """

    hyper_parameters: tuple

    def __call__(self, moving, fixed, hyper):
        """Register a pair.

        Args:
            moving: Array `(*shape, 1)` in [0, 1].
            fixed: Array of the same shape.
            hyper: A value for each of the hyper-parameters.

        Returns:
            `Registration`.
        """


class NetworkRegistrar(Predictor):
    """A registration network as a `Registrar`, and as a `Predictor`."""

    @property
    def hyper_parameters(self):
        """See `Registrar`."""
        return self.model.hyper_parameters

    def __call__(self, moving, fixed, hyper):
        """See `Registrar.__call__`.

        Raises:
            UserError: If a number that the network gives is not finite.
        """
        x = {"moving": moving[None], "fixed": fixed[None]}
        if len(hyper):
            x["hyper"] = np.array([hyper], "float32")
        started = time.perf_counter()
        outputs = self.model.predict_on_batch(x)
        seconds = time.perf_counter() - started
        arrays = {name: check_finite(np.asarray(value)[0], f"the network's {name}") for name, value in outputs.items()}
        return Registration(arrays["displacement"], arrays["moved"], arrays.get("velocity"), seconds)

    def inverse(self, registration):
        """Displacement of the way back, by the negative velocity.

        Args:
            registration: Of `__call__`.

        Returns:
            Array of the displacement's shape, in voxels; None of a network without a velocity that is integrated.
        """
        names = {layer.name: layer for layer in self.model.layers}
        if registration.velocity is None or not {"integrate", "resize", "displacement"} <= set(names):
            return None
        if not names["integrate"].steps:
            return None
        field = names["resize"](names["integrate"](-registration.velocity[None]))
        return np.asarray(names["displacement"](field, registration.moved[None]))[0]

    def evaluate(self, question):
        """See `Predictor.evaluate`: at each of the question's values, the best on its own pairs stressed."""
        pairs, facts = question.cases, question.facts
        rows = evaluate_pairs(self, pairs, facts.cache, facts.values, facts.spacing_mm, surfaces=True)
        best = max(summarise(rows), key=lambda entry: np.nan_to_num(entry.get("dice", 0.0)))["hyper"]
        several = len(facts.values) > 1
        chosen_by = "Best of these values on these very pairs" if several else "Evaluated"
        return evaluation_of(self, question, rows, best, chosen_by)

    def endpoints(self):
        """See `Predictor.endpoints`: `register`, `displacement` and `warp` of images of any size with their own
        intensities, the rule of training applied within."""
        rank, names = len(self.contract.shape), list(self.contract.hyper)
        rule = self.contract.intensity.model_dump()

        def infer(moving, fixed, *hyper):
            x = {"moving": to_unit_range(moving, **rule), "fixed": to_unit_range(fixed, **rule)}
            if hyper:
                x["hyper"] = hyper[0]
            return self.model(x, training=False)["displacement"]

        infer = traced_once(infer)

        def register(moving, fixed, *hyper):
            field = infer(moving, fixed, *hyper)
            return {"moved": sample(moving, field), "displacement": field}

        def displacement(moving, fixed, *hyper):
            return {"displacement": infer(moving, fixed, *hyper)}

        def warp(volume, displacement):
            return {
                "moved": sample(volume, displacement),
                "moved_nearest": sample(volume, displacement, "nearest"),
            }

        image = (None, *[None] * rank, 1)
        pair = {"moving": image, "fixed": image} | ({"hyper": (None, len(names))} if names else {})
        field = {"volume": image, "displacement": (None, *[None] * rank, rank)}
        samples = _samples(rank, self.contract.hyper)
        return {
            "register": Endpoint(register, pair, samples),
            "displacement": Endpoint(displacement, pair, samples),
            "warp": Endpoint(warp, field, samples),
        }


def _samples(rank, hyper):
    """Inputs of an odd size and a batch of two."""
    rng = np.random.default_rng(0)
    shape = (2, *(19 + 2 * axis for axis in range(rank)), 1)
    inputs = {name: rng.random(shape, dtype="float32") for name in ("moving", "fixed", "volume")}
    inputs["displacement"] = rng.normal(size=(*shape[:-1], rank)).astype("float32")
    if hyper:
        inputs["hyper"] = np.array(list(hyper.values()), "float32").T.copy()
    return inputs
