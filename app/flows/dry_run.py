"""What `--dry-run` says of a training: the cohort, the size of the network, memory and time."""

import resource
import sys
import tempfile
import time
from pathlib import Path

from app.config import config_text
from app.quiet import import_keras
from app.training.cost import FLOAT

MEASURED_STEPS = 3  # at most
ENOUGH_SECONDS = 4.0  # a step that takes so long is measured well by itself
MEASURED_BYTES = 2**31  # a dry run takes little more of what is counted,
MEASURED_WORK = 10**11  # and multiplies no more per step: a minute on two cores


def describe(system, config):
    """Print config, cohort, parameters, memory and time of a training, the latter two measured where that is cheap.

    Args:
        system: `System`.
        config: Of the system.

    Raises:
        UserError: If anything about the data is wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if getattr(config.data, "phantom", None) is None:
            parts = system.deal(config, None)
            system.check_parts(config, parts)
            system.check_parts_memory(config, parts)
            cohort = system.read(config, parts)
        else:
            cohort = system.stand_in(config, Path(scratch))
        system.check_memory(config, cohort)
        _check_writable(config.output)
        print(config_text(config))
        print("\n".join(system.describe(config, cohort)))
        print(f"output: {config.output}")
        print("loading TensorFlow to measure some steps ...", flush=True)
        import_keras()
        _print_cost(system, config, cohort)
    print("dry run: nothing was written")


def _print_cost(system, config, cohort):
    if not system.measurable(config):
        return print("network: that of the source; what it begins with is searched, which takes as long as some epochs")
    steps, training = system.part("steps")(config, cohort), config.training
    cost, batch = system.cost(config, cohort), system.batch_size(config, cohort)
    total, tried = len(steps.batches(config)), _tried(cost, batch)
    counted = f"at least {cost.bytes(batch) / 2**30:.1f} GiB by the sizes of weights and feature maps"
    if not tried:
        print(f"network: about {int(cost.weights):,} parameters; a step is too large to be tried in a dry run")
        print(f"memory: {counted}")
        return print(f"time: {training.epochs} epochs of {total} steps, not measured")
    smaller = config.model_copy(update={"training": training.model_copy(update={"batch_size": tried})})
    model = steps.build(smaller)
    steps.compile(smaller, model)
    seconds, peak = _measured(model, steps.batches(smaller))
    print(f"network: {model.count_params():,} parameters")
    share = f" with {tried} of {batch} samples; {counted}" if tried < batch else ""
    print(f"memory: {peak:.1f} GiB measured{share}")
    seconds *= batch / tried
    epochs, minutes = training.epochs, training.epochs * total * seconds / 60
    print(f"time: {epochs} epochs of {total} steps, {seconds:.2f} s per step: about {minutes:.0f} min of training")


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
        x, y, weights = (*batches[step % len(batches)], None, None)[:3]
        started = time.perf_counter()
        model.train_on_batch(x, y, weights)
        seconds.append(time.perf_counter() - started)
        if sum(seconds[1:]) > ENOUGH_SECONDS:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return min(seconds[1:]), peak / 2**30


def _check_writable(path):
    path = Path(path)
    while not path.exists():
        path = path.parent
    with tempfile.TemporaryFile(dir=path):
        pass
