"""A search without training: an oracle is asked and told."""

import math

import keras_tuner as kt


def search(oracle, evaluate, folder, most=10_000, name="search"):
    """Run an oracle to its end.

    Args:
        oracle: Oracle; its hyper-parameters are declared.
        evaluate: Function `(values) -> float`, or a list of values step by step; NaN or an
            exception for a failure.
        folder: Where the oracle keeps its files.
        most: Trials after which to stop.
        name: Name of the search.

    Returns:
        List of the trials' values, in order.
    """
    oracle._set_project_dir(str(folder), name)
    oracle.verbose = 0
    tried = []
    while len(tried) < most:
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            break
        assert trial.status == "RUNNING", trial.status
        values = dict(trial.hyperparameters.values)
        tried.append(values)
        finish(oracle, trial, evaluate(values))
    return tried


def finish(oracle, trial, found):
    """End a trial with what was found."""
    curve = found if isinstance(found, list) else [found]
    failed = any(math.isnan(value) for value in curve)
    if not failed:
        for step, value in enumerate(curve, 1):
            oracle.update_trial(trial.trial_id, {oracle.objective.name: value}, step=step)
    trial.status = "FAILED" if failed else "COMPLETED"
    oracle.end_trial(trial)


def small_space():
    """24 configurations of a number, an integer and a choice."""
    hp = kt.HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    hp.Int("depth", 1, 4)
    hp.Boolean("wide")
    return hp
