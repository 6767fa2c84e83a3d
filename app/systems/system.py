"""What a system is to the flows in `app.flows`: the steps in which it differs from the others.

A system has three parts. `System` knows its config and its files and never imports Keras, so that all that is wrong
with them is said at once (but for the source of a transfer, which is a network). `Steps` builds and trains its network,
`Predictor` applies a trained one: see `app.systems.steps`.
"""

import dataclasses

from app.errors import UserError
from app.modules import imported
from app.training.cost import check_memory


@dataclasses.dataclass(frozen=True)
class Cohort:
    """The subjects of a run, read and checked.

    Args:
        parts: Dict from "train", "validate" and "test" to the cases that were dealt there.
        loaded: Likewise, what the system keeps of them in memory.
        line: What was read, for the log.
        facts: What else the system's own steps need.
    """

    parts: dict
    loaded: dict
    line: str
    facts: object = None


@dataclasses.dataclass(frozen=True)
class Question:
    """What an evaluation measures.

    Args:
        line: It in words.
        cases: The test cases, as `Predictor.evaluate` takes them.
        facts: What else it needs.
    """

    line: str
    cases: list
    facts: object = None


class System:
    """Base of all systems: what the flows ask, Keras apart.

    Args:
        name: Of its task, a key of `app.systems.SYSTEMS`.
        about: Its `About`.

    Attributes:
        free_keys: Dotted keys of the config that may differ between a training and what is done with it.
        memory_keys: What memory depends on, for a message.
        objectives: What a search may look for, of what training reports every epoch.
        objective_needs: What is missing where not all of them are reported.
        unsearched: Keys that a search leaves alone, beside those of every system.
        done: What is done to a volume: "segmented".
        predictions: Name of the table of all predictions.
    """

    free_keys = ()
    memory_keys = ""
    objectives = ("loss",)
    objective_needs = ""
    unsearched = ()
    done = "predicted"
    predictions = "volumes.csv"

    def __init__(self, name, about):
        self.name, self.about = name, about

    def part(self, name):
        """One of its classes: "config", "contract", "steps" or "predictor"; the last two import Keras."""
        return imported(getattr(self.about, name))

    def check(self, config, action=None):
        """Refuse what can be refused before anything is simulated or read.

        Args:
            config: Of the system.
            action: The training that was asked for; None for a search, which may begin with any.

        Raises:
            UserError: If the config cannot be trained.
        """

    def cost(self, config, cohort=None):
        """What a training costs.

        Args:
            config: Of the system.
            cohort: `Cohort`; None before it is read.

        Returns:
            `app.training.cost.Cost`.
        """
        raise NotImplementedError

    def batch_size(self, config, cohort=None):
        """Samples in a batch; arguments as of `cost`."""
        return config.training.batch_size

    def memory_needed(self, config, cohort=None):
        """Bytes that a training takes at the least; arguments as of `cost`."""
        return self.cost(config, cohort).bytes(self.batch_size(config, cohort))

    def check_memory(self, config, cohort=None):
        """See that a training fits into memory; arguments as of `cost`.

        Raises:
            UserError: If it does not.
        """
        check_memory(self.memory_needed(config, cohort), self.memory_keys)

    def deal(self, config, phantoms):
        """List the cohort, or simulate it, and deal its subjects.

        Args:
            config: Of the system.
            phantoms: Folder for a simulated cohort.

        Returns:
            Dict from "train", "validate", "test" to cases.

        Raises:
            UserError: If it is missing, damaged or too small.
        """
        raise NotImplementedError

    def rows(self, parts):
        """Who was dealt where, for the run's `split.csv`.

        Args:
            parts: As `deal` returns them.

        Returns:
            List of dicts of strings with `part`, `subject` and perhaps more.
        """
        return [
            {"part": part, "subject": case.subject, "image": case.image.name} for part in parts for case in parts[part]
        ]

    def check_parts(self, config, parts):
        """Refuse a deal that cannot be trained on; an evaluation does not ask.

        Args:
            config: Of the system.
            parts: As `deal` returns them.

        Raises:
            UserError: If it cannot.
        """

    def check_parts_memory(self, config, parts):
        """As `check_memory`, before images are read that are kept in memory; arguments as of `check_parts`."""

    def read(self, config, parts):
        """Read the cohort; all that is wrong with any file is listed.

        Args:
            config: Of the system.
            parts: As `deal` returns them.

        Returns:
            `Cohort`.

        Raises:
            UserError: Listing every problem of every file.
        """
        raise NotImplementedError

    def stand_in(self, config, scratch):
        """In place of a cohort that would be simulated: for a dry run to measure with.

        Args:
            config: Of the system, with a phantom.
            scratch: Folder that is deleted afterwards.

        Returns:
            `Cohort`.
        """
        raise NotImplementedError

    def describe(self, config, cohort):
        """What a dry run says of a training beside its cost.

        Args:
            config: Of the system.
            cohort: `Cohort`.

        Returns:
            List of lines.
        """
        return [cohort.line]

    def measurable(self, config):
        """Whether a dry run can measure a step of this training."""
        return True

    def evaluation(self, run, config):
        """Config of an evaluation from that of the task `evaluate`: by default the run's own.

        Args:
            run: `OpenRun`.
            config: `app.tasks.evaluate_config.EvaluateConfig`.

        Returns:
            What `question` and `Predictor` take.

        Raises:
            UserError: If a key was given that has no meaning for this system.
        """
        defaults = {key: type(config).model_fields[key].default for key in ("data", "precision", "subjects", "hyper")}
        given = [key for key, default in defaults.items() if getattr(config, key) != default]
        if given:
            raise UserError(
                f"{given[0]}: of registration; the test volumes of the run's own cohort are measured for the task "
                f"{self.name}: remove the key"
            )
        return run.config().model_copy(update={"output": run.folder.path})

    def question(self, run, config):
        """What "evaluate" measures on: by default the test volumes of the run's own cohort.

        Args:
            run: `OpenRun`.
            config: Of the system, the run's own but for its free keys.

        Returns:
            `Question`.

        Raises:
            UserError: If the cohort has changed.
        """
        raise NotImplementedError

    def check_inputs(self, volumes, **options):
        """Refuse volumes that cannot be predicted together.

        Args:
            volumes: List of `app.data.inputs.Input`.
            **options: Those of `About.options` that were given.

        Raises:
            UserError: If they cannot.
        """
