"""Train one side of a comparison for so many seconds, and print what came of it as JSON.

The child of `hypermorph_against_voxelmorph`: SIDE FEATURES GENERATOR LEARNING_RATE SECONDS DATA.
"""

import inspect
import json
import os
import resource
import sys
import time

import numpy as np

from benchmarks.brains import mean_dice, unit, warp_labels
from benchmarks.hypermorph_against_voxelmorph import LAMBDAS
from nets.ops.folding import folding_percent

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def ours(shape, features, generator, learning_rate):
    """Our network: functions `step(x) -> None` and `displacement(x) -> array`, and its size."""
    import keras

    from nets.registration.hypermorph import HyperMorph

    model = HyperMorph(rank=3, features=features, generator=generator)
    model.compile(keras.optimizers.Adam(learning_rate))
    model.optimizer.build(model.trainable_variables)
    return model.train_on_batch, lambda x: model.predict_on_batch(x)["displacement"], model.count_params()


def voxelmorph(shape, features, generator, learning_rate):
    """The peer's network, with its own losses, built as its training script does; `features`: "LAYERSxUNITS"."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # neurite 0.2 calls what Python 3.11 removed.
    inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]
    import tensorflow as tf
    import voxelmorph as vxm

    layers, units = (int(number) for number in (features or "6x128").split("x"))
    model = vxm.networks.HyperVxmDense(
        shape, int_steps=7, int_resolution=2, svf_resolution=2, nb_hyp_layers=layers, nb_hyp_units=units
    )
    field = tf.keras.Model(model.inputs, model.references.pos_flow)
    optimizer = tf.keras.optimizers.legacy.Adam(learning_rate)
    similarity, smoothness = vxm.losses.NCC().loss, vxm.losses.Grad("l2", loss_mult=2).loss

    @tf.function
    def update(moving, fixed, hyper):
        with tf.GradientTape() as tape:
            moved, velocity = model([moving, fixed, hyper], training=True)
            weight = hyper[:, 0]
            loss = (1 - weight) * tf.reshape(similarity(fixed, moved), [-1])
            loss = tf.reduce_mean(loss + weight * tf.reshape(smoothness(None, velocity), [-1]))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    infer = tf.function(lambda m, f, h: field([m, f, h], training=False))

    def step(x):
        return float(update(*(tf.constant(x[name]) for name in ("moving", "fixed", "hyper"))))

    def displacement(x):
        return infer(*(tf.constant(x[name]) for name in ("moving", "fixed", "hyper"))).numpy()

    return step, displacement, model.count_params()


def main():
    side, features, generator, learning_rate, seconds, data = sys.argv[1:]
    content = np.load(data)
    images, labels, train, pairs = (content[name] for name in ("images", "labels", "train", "pairs"))
    build = {"ours": ours, "voxelmorph": voxelmorph}[side]
    step, displacement, parameters = build(images.shape[1:], features, generator, float(learning_rate))
    rng = np.random.default_rng(0)

    def batch():
        moving, fixed = rng.choice(train, 2, replace=False)
        value = rng.choice([0.0, 1.0]) if rng.random() < 0.2 else rng.random()
        hyper = np.array([[value]], "float32")
        return {"moving": unit(images[moving][None]), "fixed": unit(images[fixed][None]), "hyper": hyper}

    for _ in range(2):  # compilation is not training
        step(batch())
    times, begun = [], time.perf_counter()
    while time.perf_counter() - begun < float(seconds):
        started = time.perf_counter()
        step(batch())
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    dice, folding = [], []
    for value in LAMBDAS:
        scores = []
        for moving, fixed in pairs:
            hyper = np.array([[value]], "float32")
            x = {"moving": unit(images[moving][None]), "fixed": unit(images[fixed][None]), "hyper": hyper}
            u = np.asarray(displacement(x))[0]
            scores.append((mean_dice(labels[fixed], warp_labels(labels[moving], u)), folding_percent(u)))
        dice.append(float(np.mean([score[0] for score in scores])))
        folding.append(float(np.mean([score[1] for score in scores])))
    before = float(np.mean([mean_dice(labels[f], labels[m]) for m, f in pairs]))
    row = {
        "dice": dice,
        "dice_before": before,
        "folding_percent": folding,
        "steps": len(times),
        "seconds_a_step": float(np.median(times)),
        "peak_gib": peak,
        "parameters": int(parameters),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
