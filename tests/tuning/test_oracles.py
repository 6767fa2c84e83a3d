"""The oracles as Keras Tuner sees them: no repeats, no starvation, failures learnt, searches resumed."""

import math

import keras_tuner as kt
import numpy as np
import pytest

from app.tuning.bayesian_oracle import BayesianOracle
from app.tuning.brackets import Brackets
from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle
from app.tuning.plain_oracles import GridOracle, RandomOracle
from app.tuning.space import Space
from tests.tuning.oracle_cases import LOSS, bowl, depth
from tests.tuning.searching import search, small_space

ORACLES = {
    "random": lambda **kwargs: RandomOracle(**kwargs),
    "grid": lambda **kwargs: GridOracle(**kwargs),
    "bayesian": lambda **kwargs: BayesianOracle(**kwargs),
}


@pytest.mark.parametrize("kind", list(ORACLES))
def test_a_small_space_is_searched_without_repeating(kind, tmp_path):
    """24 points, 24 trials, 24 different ones; then it ends (Keras Tuner: 11 different)."""
    oracle = ORACLES[kind](objective=LOSS, max_trials=30, hyperparameters=small_space(), seed=0)
    tried = search(oracle, lambda v: v["depth"] + 0.1 * v["wide"], tmp_path)
    assert len(tried) == 24
    assert len({tuple(sorted(values.items())) for values in tried}) == 24


@pytest.mark.parametrize("options", [{}, {"marginalise": 3}, {"acquisition": "probability_of_improvement"}])
def test_the_gaussian_process_beats_chance(options, tmp_path):
    """25 trials on a bowl: what random search does not reach in 100."""
    found = []
    for seed in range(3):
        oracle = BayesianOracle(LOSS, max_trials=25, hyperparameters=bowl(), seed=seed, **options)
        found.append(min(map(depth, search(oracle, depth, tmp_path, name=str(seed)))))
        best = oracle.get_best_trials(1)[0]
        assert best.score == pytest.approx(found[-1])
    # The probability of improvement exploits: it may stay with the first kind that it finds good.
    typical = np.min(found) if "acquisition" in options else np.median(found)
    assert typical < 0.02, found
    rng = np.random.default_rng(0)
    space = Space(bowl())
    chance = [min(depth(space.values(row)) for row in space.draw(100, rng)) for _ in range(20)]
    assert np.median(chance) > 0.02


def test_maximising_is_minimising_upside_down(tmp_path):
    """A sign forgotten would search for the worst."""
    oracle = BayesianOracle(kt.Objective("dice", "max"), max_trials=25, hyperparameters=bowl(), seed=0)
    tried = search(oracle, lambda values: -depth(values), tmp_path)
    assert min(map(depth, tried)) < 0.05
    assert oracle.get_best_trials(1)[0].score == pytest.approx(-min(map(depth, tried)))


def test_failures_are_learnt(tmp_path):
    """Half of the space fails, and the best lies beside it: with what failed the search stops going there."""

    def fails(values):
        return math.nan if values["share"] > 0.72 else depth(values)

    failures = {}
    for feasibility in (True, False):
        oracle = BayesianOracle(
            LOSS, 40, hyperparameters=bowl(), seed=1, feasibility=feasibility, max_consecutive_failed_trials=40
        )
        tried = search(oracle, fails, tmp_path, name=str(feasibility))
        failures[feasibility] = sum(values["share"] > 0.72 for values in tried[10:])
        if feasibility:
            assert min(depth(values) for values in tried if values["share"] <= 0.72) < 0.05
    assert failures[True] < 8, failures


def test_models_too_large_are_not_proposed_again(tmp_path):
    """Memory is a product of hyper-parameters; parameters counted before building tell it from few failures."""
    hp = kt.HyperParameters()
    for name in ("width", "depth", "blocks"):
        hp.Int(name, 1, 10)
    hp.Float("rate", 0, 1)

    def size(values):
        return values["width"] ** 2 * values["depth"] * values["blocks"], 1

    def fit(values):  # larger is better, until it does not fit: the thesis' 210 wasted trials
        return math.nan if size(values)[0] > 800 else 10 - math.log(size(values)[0]) + (values["rate"] - 0.5) ** 2

    oracle = BayesianOracle(LOSS, max_trials=50, hyperparameters=hp, seed=0, size_of=size)
    tried = search(oracle, fit, tmp_path)
    late = [size(values)[0] > 800 for values in tried[20:]]
    assert np.mean(late) < 0.4
    assert min(fit(values) for values in tried if size(values)[0] <= 800) < 10 - math.log(700)


def test_conditions_are_kept(tmp_path):
    """A hyper-parameter whose condition does not hold must not be in the trial, nor make two trials of one."""
    hp = kt.HyperParameters()
    hp.Choice("kind", ["plain", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("layers", 1, 4)
    oracle = BayesianOracle(LOSS, max_trials=20, hyperparameters=hp, seed=0)
    tried = search(oracle, lambda values: values.get("layers", 2.5), tmp_path)
    assert sorted(map(str, tried)) == sorted(
        map(str, [{"kind": "plain"}, *({"kind": "deep", "layers": count} for count in (1, 2, 3, 4))])
    )


def test_a_space_and_its_rows_are_one_another(rng):
    """Log, reversed log, steps, integers and choices: what is proposed must be what is tried."""
    hp = kt.HyperParameters()
    hp.Float("log", 1e-4, 1, sampling="log")
    hp.Float("reverse", 1, 100, sampling="reverse_log")
    hp.Float("step", 0, 1, step=0.25)
    hp.Int("int", 3, 17, step=2)
    hp.Int("power", 2, 64, step=2, sampling="log")
    hp.Choice("number", [1, 5, 9])
    hp.Choice("word", ["x", "y"])
    hp.Boolean("flag")
    hp.Fixed("fixed", 7)
    space = Space(hp)
    for row in space.draw(50, rng):
        values = space.values(row)
        assert values["fixed"] == 7
        np.testing.assert_allclose(space.row(values), row, atol=1e-9)
        rounded = {k: float(np.float32(v)) if isinstance(v, float) else v for k, v in values.items()}
        np.testing.assert_allclose(space.row(rounded), row, atol=1e-5)
        assert len({space.key(other) for other in space.near(row, 20, rng)}) > 10
    assert set(np.round(space.draw(500, rng)[:, 2], 6)) == {0, 0.25, 0.5, 0.75, 1}
    values = {space.values(row)["power"] for row in space.draw(200, rng)}
    assert values == {2, 4, 8, 16, 32, 64}
    assert Space(small_space()).size == 24
    with pytest.raises(ValueError, match="finite"):
        space.all()


def test_draws_follow_the_scale():
    """Integers on a logarithmic scale drawn evenly would be large ones nearly always; Keras Tuner's are log-uniform."""
    hp = kt.HyperParameters()
    hp.Int("batch", 16, 512, sampling="log")
    hp.Int("late", 1, 1000, sampling="reverse_log")
    hp.Int("depth", 1, 4)
    hp.Float("momentum", 0.1, 0.9, step=0.2)
    hp.Choice("kind", ["a", "b", "c"])
    space = Space(hp)
    values = [space.values(row) for row in space.draw(4000, np.random.default_rng(0))]
    assert abs(np.mean([value["batch"] <= 90 for value in values]) - 0.5) < 0.03
    assert abs(np.mean([value["late"] >= 970 for value in values]) - 0.5) < 0.05
    for name, count in (("depth", 4), ("momentum", 5), ("kind", 3)):
        _, counts = np.unique([value[name] for value in values], return_counts=True)
        assert len(counts) == count
        np.testing.assert_allclose(counts / 4000, 1 / count, atol=0.03)
    theirs = [hp.space[0].random_sample(seed) for seed in range(2000)]
    assert np.median(theirs) == pytest.approx(np.median([value["batch"] for value in values]), rel=0.15)


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_failures_neither_starve_nor_stall_a_bracket(share, tmp_path):
    """With 60 % failing Keras Tuner's Hyperband promotes nothing and ends without a word."""
    rng = np.random.default_rng(0)

    def evaluate(values):
        if "tuner/trial_id" not in values and rng.random() < share:
            return math.nan
        return depth(values)

    oracle = HyperbandBayesianOracle(
        LOSS, max_budget=9, hyperparameters=bowl(), seed=0, max_consecutive_failed_trials=100
    )
    tried = search(oracle, evaluate, tmp_path, most=300)
    promoted = [values for values in tried if "tuner/trial_id" in values]
    assert len(tried) < 300
    assert bool(promoted) == (share < 1)
    if share < 1:
        assert sum(values["tuner/epochs"] == 9 for values in tried) >= 4
        fresh = [values for values in tried if "tuner/trial_id" not in values]
        own = {tuple(sorted((k, v) for k, v in values.items() if "tuner" not in k)) for values in fresh}
        assert len(own) == len(fresh)


def test_hyperband_is_the_papers():
    """Sizes and budgets of Li et al., table 1, R = 81 and eta = 3."""
    brackets = Brackets(81)
    table = [[(brackets.size(s, i), brackets.budget(s, i)) for i in range(s + 1)] for s in range(4, -1, -1)]
    assert table == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_the_best_of_a_rung_are_promoted(tmp_path):
    """Every promotion must be of the rung's best, and go on from where it stood."""
    oracle = HyperbandBayesianOracle(LOSS, max_budget=9, hyperparameters=bowl(), seed=0, guided=False)
    tried = search(oracle, depth, tmp_path)
    first = [values for values in tried if values["tuner/bracket"] == 2 and values["tuner/round"] == 0]
    second = [values for values in tried if values["tuner/bracket"] == 2 and values["tuner/round"] == 1]
    assert len(first) == 9
    assert sorted(map(depth, first))[:3] == pytest.approx(sorted(map(depth, second)))
    assert {(values["tuner/initial_epoch"], values["tuner/epochs"]) for values in second} == {(1, 3)}
