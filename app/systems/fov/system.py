"""Field of view: which regions of the body a volume shows, and where."""

import numpy as np

from app.errors import list_problems
from app.systems.fov.cohort import (
    Examination,
    LabelledStack,
    load_examinations,
    read_examinations,
    split_examinations,
)
from app.systems.fov.regions import CLASSES, IGNORED
from app.systems.system import Cohort, Question, System
from app.training.cost import Cost
from app.training.split_file import check_split

STOOD_IN = 64  # slices of noise with which a dry run measures


class FieldOfView(System):
    """The system of the task `fov`."""

    free_keys = ("decision", "data.nan")
    memory_keys = "data.size, training.batch_size, network.filters, units and convolutions"
    objectives = ("loss", "validation_loss", "validation_error")
    unsearched = ("decision",)
    done = "decided"
    predictions = "regions.csv"

    def cost(self, config, cohort=None):
        """Of a `nets.classification.slice_classifier.SliceClassifier`; see `System.cost`."""
        network, pixels, channels = config.network, config.data.size**2, 2 * config.data.context + 1
        cost = Cost()
        for _ in range(network.blocks):
            for _ in range(network.convolutions):
                for window in (network.kernel_size,) * 2 if network.separable else (network.kernel_size**2,):
                    weights = window * channels * network.filters
                    cost += Cost(weights, pixels * network.filters, pixels * weights)
                    channels = network.filters
            pixels //= 4
        flat = pixels * channels if network.head == "dense" else channels
        for units in network.units if network.head == "dense" else ():
            cost += Cost(flat * units, units, flat * units)
            flat = units
        return cost

    def check(self, config, action=None):
        """See `System.check`."""
        if config.data.phantom is not None:
            config.data.split.counts(config.data.phantom.subjects)

    def deal(self, config, phantoms):
        """See `System.deal`."""
        if config.data.phantom is None:
            path = config.data.cohort
        else:
            from app.data.phantoms.bodies import write_bodies

            path = write_bodies(phantoms, config.data.phantom)
        return split_examinations(read_examinations(path, config.data.nan), config.data.split, config.seed)

    def read(self, config, parts):
        """See `System.read`."""
        data = config.data
        everything = [examination for part in parts.values() for examination in part]
        stacks = {stack.examination: stack for stack in load_examinations(everything, data.size, data.context, data)}
        loaded = {name: [stacks[examination] for examination in part] for name, part in parts.items()}
        _check_classes(loaded)
        return Cohort(parts, loaded, ", ".join(f"{name} {len(part)} volumes" for name, part in parts.items()))

    def stand_in(self, config, scratch):
        """See `System.stand_in`."""
        rng, size, channels = np.random.default_rng(0), config.data.size, 2 * config.data.context + 1
        slices = rng.integers(256, size=(STOOD_IN, size, size, channels), dtype="uint8")
        stack = LabelledStack(
            Examination("noise", None, "", None), None, slices, rng.integers(len(CLASSES), size=STOOD_IN)
        )
        counts = config.data.split.counts(config.data.phantom.subjects)
        line = ", ".join(f"{name} {count} subjects" for name, count in counts.items())
        return Cohort({}, dict.fromkeys(counts, [stack]), f"simulated: {line}")

    def question(self, run, config):
        """See `System.question`."""
        parts = self.deal(config, config.output / "phantoms")
        check_split(run.folder, self.rows(parts))
        contract = run.contract
        stacks = load_examinations(parts["test"], contract.size, contract.context, contract.intensity)
        return Question(f"{len(stacks)} test volumes", stacks)


def _check_classes(loaded):
    problems, trained = [], set(np.concatenate([stack.classes for stack in loaded["train"]]))
    for name, stacks in loaded.items():
        known = set(np.concatenate([stack.classes for stack in stacks])) - {IGNORED}
        if not known:
            problems.append(f"data: every slice of the {name} volumes is ignored; give regions, or change data.split")
        strange = [CLASSES[index] for index in sorted(known - trained)]
        if strange:
            problems.append(
                f"data: the {name} volumes show {', '.join(strange)}, the training volumes never do; add subjects, or "
                "change seed or data.split"
            )
    list_problems(problems)
