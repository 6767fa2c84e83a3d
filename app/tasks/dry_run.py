"""What `--dry-run` says of a training: the data found, the size of the network, memory and time."""

import resource
import sys
import tempfile
import time
from pathlib import Path

from app.quiet import import_keras
from app.tasks.network_cost import FLOAT, hypermorph_cost

MEASURED_STEPS = 3  # at most
ENOUGH_SECONDS = 4.0  # a step that takes so long is measured well by itself
MEASURED_BYTES = 2**31  # a dry run takes little more of what is counted,
MEASURED_WORK = 10**11  # and multiplies no more a step: a minute on two cores


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
    print("loading TensorFlow to measure some steps ...", flush=True)

    import_keras()

    from app.data.batches import SubjectCache
    from app.tasks.hypermorph import build_model, training_pairs
    from app.training.train import optimizer

    training = config.training
    cache = SubjectCache(data, summary.shape, summary.structures)

    def prepare(batch):
        model = build_model(config, hyper, len(summary.structures) if uses_labels else 0)
        model.compile(optimizer(training, training.steps))
        smaller = config.model_copy(update={"training": training.model_copy(update={"batch_size": batch})})
        return model, training_pairs(smaller, parts, cache, hyper, uses_labels)

    values = config.evaluation.values ** len(hyper)
    cached = min(data.cache_gib, len(subjects) * _bytes(summary) / 2**30)
    print(f"generator {config.network.generator}; {cached:.1f} GiB of images kept besides")
    print(f"after training {values} hyper-parameter values on 2 x {data.pairs} pairs")
    tell_cost(hypermorph_cost(config, summary.shape), prepare, training.batch_size, training.epochs, training.steps)


def tell_cost(cost, prepare, batch, epochs, steps):
    """Print parameters, memory and time of a training, measured where that takes neither; the last lines of a dry run.

    Args:
        cost: `Cost` of the training.
        prepare: Function `batch -> model, batches`: Keras model, compiled, and the `PyDataset` of its training in
            batches of another size. The model is changed by the steps that are measured.
        batch: Samples in a batch.
        epochs: How many.
        steps: Batches in each.
    """
    tried = _tried(cost, batch)
    counted = f"at least {cost.bytes(batch) / 2**30:.1f} GiB by the sizes of weights and feature maps"
    if not tried:
        print(f"network: about {int(cost.weights):,} parameters; a step is too large to be tried in a dry run")
        print(f"memory: {counted}")
        print(f"time: {epochs} epochs of {steps} steps, not measured")
    else:
        model, batches = prepare(tried)
        a_step, peak = _measured(model, batches)
        print(f"network: {model.count_params():,} parameters")
        print(
            f"memory: {peak:.1f} GiB measured"
            + (f" with {tried} of {batch} samples; {counted}" if tried < batch else "")
        )
        print(_time(epochs, steps, a_step * batch / tried))
    print("dry run: nothing was written")


def _tried(cost, batch):
    """Samples of a batch with which steps are measured, 0 for none."""
    fits = batch
    if cost.bytes(batch) > MEASURED_BYTES:
        fits = (MEASURED_BYTES - cost.bytes(0)) / max(FLOAT * cost.kept, 1)
    return int(min(batch, max(fits, 0), MEASURED_WORK / max(cost.work, 1)))


def _measured(model, batches):
    """Seconds per step, and GiB that this process took at most."""
    model.optimizer.build(model.trainable_variables)
    seconds = []
    for step in range(MEASURED_STEPS + 1):
        x, y = (*batches[step % len(batches)], None)[:2]
        started = time.perf_counter()
        model.train_on_batch(x, y)
        seconds.append(time.perf_counter() - started)
        if sum(seconds[1:]) > ENOUGH_SECONDS:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return min(seconds[1:]), peak / 2**30


def _time(epochs, steps, a_step):
    total = epochs * steps * a_step
    return f"time: {epochs} epochs of {steps} steps, {a_step:.2f} s per step: about {total / 60:.0f} min of training"


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
