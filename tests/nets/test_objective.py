"""The registration loss and its hyper-parameters."""

import keras
import numpy as np
import pytest

from nets.losses import bending_energy
from nets.registration.hyper_parameter import HyperParameter
from nets.registration.hypermorph import HyperMorph
from nets.registration.objective import Objective
from tests.nets.model_cases import pair


def test_hyper_values_weigh_the_loss(rng):
    """At lambda 1 only smoothness counts, at 0 only similarity (eq. 2); gamma 1 leaves overlap (eq. 3)."""
    x = pair(rng, 16, 16)
    outputs = {
        "moved": x["moving"],
        "displacement": np.zeros((1, 16, 16, 2), "float32"),
        "velocity": rng.normal(size=(1, 8, 8, 2)).astype("float32"),
    }
    labels = {name: (x[name[:-7]] > 0.5).astype("uint8") for name in ("moving_labels", "fixed_labels")}
    objective = Objective(labels=1)

    def parts(lam, gamma):
        hyper = {"lambda": np.array([lam], "float32"), "gamma": np.array([gamma], "float32")}
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, (x["fixed"], outputs, labels, hyper))
        values = objective(*tensors)
        return {name: float(value[0]) for name, value in values.items()}

    p = parts(1.0, 0.3)
    assert p["loss"] == pytest.approx(p["smoothness"])
    p = parts(0.0, 0.0)
    assert p["loss"] == pytest.approx(p["similarity"])
    p = parts(0.2, 0.7)
    expected = 0.8 * 0.3 * p["similarity"] + 0.2 * p["smoothness"] + 0.8 * 0.7 * p["overlap"]
    assert p["loss"] == pytest.approx(expected, rel=1e-5)


def test_further_terms_are_weighted_and_learned(rng):
    """A term that is listed and not added, or a weight that is not the hyper-parameter of its name."""
    x = pair(rng, 16, 16)
    velocity = rng.normal(size=(1, 8, 8, 2)).astype("float32")
    outputs = {"moved": x["moving"], "displacement": np.zeros((1, 16, 16, 2), "float32"), "velocity": velocity}
    plain, bent = Objective(), Objective(terms={"bending": 0.5})
    fixed, outputs = keras.tree.map_structure(keras.ops.convert_to_tensor, (x["fixed"], outputs))
    before, after = plain(fixed, outputs), bent(fixed, outputs)
    energy = float(bending_energy(outputs["velocity"])[0])
    assert float(after["bending"][0]) == pytest.approx(energy)
    assert float(after["loss"][0] - before["loss"][0]) == pytest.approx(0.5 * energy, rel=1e-4)
    learned = bent(fixed, outputs, hyper={"bending": keras.ops.convert_to_tensor(np.array([2.0], "float32"))})
    assert float(learned["loss"][0] - before["loss"][0]) == pytest.approx(2.0 * energy, rel=1e-4)


def test_a_term_can_be_a_hyper_parameter(rng, tmp_path):
    """Its weight must reach the network, its mean the history, and both a saved file."""
    hyper = [{"name": "bending", "high": 3.0}]
    small = {"encoder": (2, 2), "decoder": (2, 2), "final": (2,), "units": 2, "depth": 1, "integration_steps": 1}
    model = HyperMorph(rank=2, hyper=hyper, objective={"terms": {"bending": 1.0}}, **small)
    model.compile("adam")
    x = {**pair(rng, 16, 16), "hyper": np.array([[1.5]], "float32")}
    history = model.fit(x, epochs=1, verbose=0).history
    assert history["bending"][0] >= 0
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.objective.terms == {"bending": 1.0}
    assert again.hyper_parameters[0].high == 3.0


def test_sampling_of_hyper_parameters():
    """Draws outside the range, or end points never drawn, would leave the ends of the slider untrained."""
    rng = np.random.default_rng(0)
    uniform = HyperParameter("lambda", endpoints=0.2).sample(rng, 20_000)
    assert (uniform == 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (uniform == 1).mean() == pytest.approx(0.1, abs=0.01)
    odds = HyperParameter("lambda", 0.01, 0.99, "log_odds", endpoints=0.0).sample(rng, 20_000).astype("float64")
    logits = np.log(odds / (1 - odds))
    counts, _ = np.histogram(logits, 10, (np.log(0.01 / 0.99), np.log(0.99 / 0.01)))
    assert counts.min() > 1700
    assert counts.max() < 2300


@pytest.mark.parametrize(
    "arguments",
    [{"name": "ncc_window"}, {"name": "lambda", "high": 1.5}, {"name": "lambda", "sampling": "log_odds"}],
)
def test_impossible_hyper_parameters_are_refused(arguments):
    """A lambda of 1.5 would reward rough fields."""
    with pytest.raises(ValueError, match=arguments["name"]):
        HyperParameter(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"features": "pixels"}, {"generator": "huge"}, {"hyper": []}, {"hyper": [{"name": "sigma"}]},
     {"hyper": [{"name": "bending"}]}, {"objective": {"terms": {"sigma": 1.0}}}],
)  # fmt: skip
def test_unknown_choices_are_named(arguments):
    """A KeyError deep in the graph does not tell which argument was wrong."""
    with pytest.raises(ValueError, match="Expected|expected"):
        HyperMorph(rank=2, **arguments)
