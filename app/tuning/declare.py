"""Ranges of a config as Keras Tuner's hyper-parameters, and back."""

import contextlib
import json

import keras_tuner as kt


def declare(space):
    """Hyper-parameters of a search.

    Args:
        space: Dict from key to `RangeConfig`.

    Returns:
        `keras_tuner.HyperParameters`.
    """
    hp = kt.HyperParameters()
    for key, allowed in space.items():
        with contextlib.ExitStack() as conditions:
            for parent, values in allowed.when.items():
                conditions.enter_context(hp.conditional_scope(parent, [_plain(value) for value in values]))
            if allowed.choices is not None:
                hp.Choice(key, [_plain(value) for value in allowed.choices])
            elif isinstance(allowed.low, int) and isinstance(allowed.high, int):
                step = None if allowed.step is None else int(allowed.step)
                hp.Int(key, allowed.low, allowed.high, step=step, sampling=allowed.scale)
            else:
                hp.Float(key, allowed.low, allowed.high, step=allowed.step, sampling=allowed.scale)
    return hp


def chosen(space, values):
    """Values of a trial as values of config keys.

    Args:
        space: Dict from key to `RangeConfig`.
        values: Dict from name to value, of a trial.

    Returns:
        Dict from key to value.
    """
    kept = {}
    for key, allowed in space.items():
        if key not in values:
            continue
        kept[key] = values[key]
        if allowed.choices is not None:
            kept[key] = next(choice for choice in allowed.choices if _same(_plain(choice), values[key]))
    return kept


def _plain(value):
    """Keras Tuner takes words and numbers; a list stands as its text."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-6 * abs(a)  # gRPC sends 32 bits
    return a == b
