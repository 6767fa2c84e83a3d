"""What `--dry-run` says of a training: the data found, the size of the network, memory and time."""

import resource
import sys
import tempfile
import time
from pathlib import Path

from app.quiet import import_keras

MEASURED_STEPS = 3


def describe(config, hyper, subjects, parts, summary, data, uses_labels):
    """Print cohort, parameters, memory and time of a training, the latter two measured.

    Args:
        config: `HyperMorphConfig`.
        hyper: List of `HyperParameter`.
        subjects: List of `Subject`.
        parts: Dict from split to subjects.
        summary: `CohortSummary`.
        data: `CohortConfig`.
        uses_labels: Whether the loss compares labels.
    """
    split = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    print(f"cohort: {len(subjects)} subjects ({split}), {_shapes(summary)}, spacing {_mm(summary)} mm")
    print(f"labels: {len(summary.structures)} structures {list(summary.structures)}")
    _check_writable(config.output)
    print(f"output: {config.output}")
    print(f"loading TensorFlow to measure {MEASURED_STEPS} steps ...", flush=True)

    import_keras()

    from app.data.batches import SubjectCache
    from app.tasks.hypermorph import build_model, training_pairs
    from app.training.train import optimizer

    training = config.training
    model = build_model(config, hyper, len(summary.structures) if uses_labels else 0)
    model.compile(optimizer(training, training.steps))
    cache = SubjectCache(data, summary.shape, summary.structures)
    pairs = training_pairs(config, parts, cache, hyper, uses_labels)
    a_step, peak = _measured(model, pairs)
    values = config.evaluation.values ** len(hyper)
    cached = min(data.cache_gib, len(subjects) * _bytes(summary) / 2**30)
    print(f"network: {model.count_params():,} parameters, generator {config.network.generator}")
    print(f"memory: {peak + cached:.1f} GiB ({peak:.1f} GiB measured, {cached:.1f} GiB of images kept)")
    print(
        f"{_time(training.epochs, training.steps, a_step)}, then {values} hyper-parameter values on "
        f"2 x {data.pairs} pairs"
    )
    print("dry run: nothing was written")


def tell_cost(model, batches, epochs):
    """Print parameters, memory and time of a training, the latter two measured; the last lines of a dry run.

    Args:
        model: Keras model, compiled. It is changed by the steps that are measured.
        batches: `PyDataset` of its training.
        epochs: How many.
    """
    a_step, peak = _measured(model, batches)
    print(f"network: {model.count_params():,} parameters")
    print(f"memory: {peak:.1f} GiB measured")
    print(_time(epochs, len(batches), a_step))
    print("dry run: nothing was written")


def _measured(model, batches):
    """Seconds a step, and GiB that this process took at most."""
    model.optimizer.build(model.trainable_variables)
    seconds = []
    for step in range(MEASURED_STEPS + 1):
        x, y = (*batches[step % len(batches)], None)[:2]
        started = time.perf_counter()
        model.train_on_batch(x, y)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return min(seconds[1:]), peak / 2**30


def _time(epochs, steps, a_step):
    total = epochs * steps * a_step
    return f"time: {epochs} epochs of {steps} steps, {a_step:.2f} s a step: about {total / 60:.0f} min of training"


def _shapes(summary):
    sizes = sorted(summary.shapes)
    if len(sizes) == 1 and sizes[0] == summary.shape:
        return f"shape {summary.shape}"
    return f"shapes from {sizes[0]} to {sizes[-1]}, padded and cropped to {summary.shape}"


def _mm(summary):
    return " x ".join(f"{value:g}" for value in summary.spacing_mm)


def _bytes(summary):
    voxels = 1
    for size in summary.shape:
        voxels *= size
    return 5 * voxels


def _check_writable(path):
    path = Path(path)
    while not path.exists():
        path = path.parent
    with tempfile.TemporaryFile(dir=path):
        pass
