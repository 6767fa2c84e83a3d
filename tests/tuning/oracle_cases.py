"""Objectives for oracles."""

import math

import keras_tuner as kt

LOSS = kt.Objective("loss", "min")


def bowl():
    hp = kt.HyperParameters()
    hp.Float("rate", 1e-5, 1e-1, sampling="log")
    hp.Float("share", 0.0, 1.0)
    hp.Choice("kind", ["a", "b", "c"])
    return hp


def depth(values):
    """Lowest, 0, at rate 1e-3, share 0.7, kind b."""
    off = (math.log10(values["rate"]) + 3) ** 2 / 4 + 4 * (values["share"] - 0.7) ** 2
    return off + {"a": 0.5, "b": 0.0, "c": 1.0}[values["kind"]]
