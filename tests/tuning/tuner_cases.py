"""A small search."""

import json

import keras
import keras_tuner as kt

from app.tuning.budgeted_tuner import BudgetedTuner

LOSS = kt.Objective("val_loss", "min")


def space():
    hp = kt.HyperParameters()
    hp.Int("units", 2, 8)
    hp.Float("rate", 1e-3, 1e-1, sampling="log")
    return hp


def build(hp):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(hp.get("units"), activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(hp.get("rate")), "mse", jit_compile=False)
    return model


def tuner(oracle, folder, model=build, **options):
    return BudgetedTuner(oracle, model, directory=str(folder), project_name="search", seed=5, **options)


def declared(kind, **options):
    return kind(objective=LOSS, hyperparameters=space(), allow_new_entries=False, seed=2, **options)


def curve(folder, trial_id):
    return json.loads((folder / "search" / f"trial_{trial_id}" / "progress.json").read_text(encoding="utf-8"))["curve"]
