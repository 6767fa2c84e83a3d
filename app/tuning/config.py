"""Config of the task `tune`: another task's config with a `search` section."""

import math
from typing import Literal

import pydantic

from app.config import Config, TaskConfig, check_values, with_values
from app.errors import UserError, list_problems
from app.systems import SYSTEMS, find_system

GIVEN = ("output", "data", "task", "seed")  # keys that no search changes
LARGEST = 1e15  # whole numbers up to it are floats' too
MOST_LEVELS = 100_000  # values of one key that are listed
METHODS = ("random", "grid", "bayesian", "hyperband", "hyperband+bayesian")


class RangeConfig(Config):
    """Values of one key: `low` and `high`, or `choices`; `when` other keys have certain values."""

    low: int | float | None = pydantic.Field(None, ge=-LARGEST, le=LARGEST)
    """Lowest value; whole numbers where low and high are."""
    high: int | float | None = pydantic.Field(None, ge=-LARGEST, le=LARGEST)
    """Highest value."""
    scale: Literal["linear", "log", "reverse_log"] = "linear"
    """Whether values are spread evenly, by their logarithm, or closer towards high."""
    step: int | float | None = pydantic.Field(None, gt=0)
    """Distance of neighbouring values; a factor on a logarithmic scale."""
    choices: list | None = pydantic.Field(None, min_length=1, max_length=1000)
    """The values themselves, in place of low and high."""
    when: dict[str, list] = {}
    """Other keys of the space and the values for which this key counts."""

    @pydantic.model_validator(mode="after")
    def _one_kind(self):
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give low and high, or choices")
        if self.choices is None and not self.low < self.high:
            raise ValueError("low must be below high")
        if self.choices is None and self.scale != "linear" and self.low <= 0:
            raise ValueError("a logarithmic scale needs a positive low")
        if self.choices is None:
            self._check_levels()
        return self

    def _check_levels(self):
        """A search lists the values of whole numbers and of steps."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        step = int(self.step) if whole and self.step else self.step
        if self.step is not None and (not step or (self.scale != "linear" and step <= 1)):
            raise ValueError("step: at least 1 of whole numbers, and a factor above 1 of a logarithmic scale")
        if self.scale == "linear":
            levels = (self.high - self.low) / (step or 1) if step or whole else 0
        else:
            levels = math.log(self.high / self.low) / math.log(step) if step else self.high - self.low if whole else 0
        if levels > MOST_LEVELS:
            raise ValueError(f"more than {MOST_LEVELS:,} values; give a larger step, or low and high with a point")

    @property
    def extremes(self):
        """Values that stand for all when a config is checked."""
        return self.choices if self.choices is not None else [self.low, self.high]


class SearchConfig(Config):
    """The search: see `app.tuning`."""

    method: Literal[METHODS] = "hyperband+bayesian"
    """Which configurations are tried next."""
    space: dict[str, RangeConfig] = pydantic.Field(min_length=1, max_length=100)
    """Dotted keys that are searched, with their values."""
    objective: str = "validation_dice"
    """What is optimised, of what training reports every epoch: loss or validation_dice; of fov loss,
    validation_loss or validation_error."""
    direction: Literal["min", "max"] = "max"
    """Whether the objective is to be low or high."""
    trials: int | None = pydantic.Field(None, ge=1, le=1_000_000)
    """Most trials, promotions included; random and bayesian need it."""
    unit: Literal["epochs", "seconds"] = "epochs"
    """What budgets count: epochs, or seconds of training (whole epochs); seconds need a budget."""
    budget: float | None = pydantic.Field(None, gt=0, le=1e8)
    """Full budget of a trial; by default the epochs of the task."""
    min_budget: float = pydantic.Field(1, ge=0.001, le=1e8)
    """Hyperband's smallest budget."""
    factor: int = pydantic.Field(3, ge=2, le=1000)
    """Ratio of Hyperband's budgets: one of so many trials is promoted."""
    cycles: int = pydantic.Field(1, ge=1, le=10_000)
    """How often Hyperband runs all its brackets."""
    liar: Literal["min", "mean", "max", "believer"] = "max"
    """What a running trial counts as: the lowest, mean or highest value so far, or the prediction."""
    acquisition: Literal["expected_improvement", "probability_of_improvement"] = "expected_improvement"
    """What the Gaussian process maximises."""
    kernel: Literal["matern", "matern_3_2", "squared_exponential"] = "matern"
    """Covariance of the Gaussian process: Matern 5/2, the rougher 3/2, or the squared exponential."""
    marginalise: int = pydantic.Field(0, ge=0, le=100)
    """Draws of the kernel's parameters to average over; 0 takes the most likely ones."""
    grid_points: int = pydantic.Field(5, ge=2, le=10_000)
    """Points along a continuous key, for method grid."""
    keep_best: int = pydantic.Field(3, ge=1, le=10_000)
    """Best trials whose checkpoints are kept; the rest are deleted."""
    max_parameters: int | None = pydantic.Field(None, ge=1, le=10**12)
    """Weights above which a network is not built; its trial counts as failed."""
    lease_seconds: float = pydantic.Field(120, gt=0, le=1e7)
    """Silence after which a worker counts as dead."""

    @pydantic.model_validator(mode="after")
    def _ends(self):
        if self.method in ("random", "bayesian") and self.trials is None:
            raise ValueError(f"method {self.method} needs search.trials, or it would never end")
        return self

    @pydantic.model_validator(mode="after")
    def _budgets(self):
        for name in ("budget", "min_budget"):
            value = getattr(self, name)
            if self.unit == "epochs" and value is not None and value != int(value):
                raise ValueError(f"{name}: {value:g} epochs; a whole number, or unit: seconds")
        if self.method.startswith("hyperband") and self.budget is not None and self.min_budget > self.budget:
            raise ValueError(f"min_budget: {self.min_budget:g} is above budget: {self.budget:g}; exchange them")
        return self


class TuneConfig(TaskConfig):
    """Config of the task: `task`, `output`, `seed`, `search`, and the keys of the task that is tuned."""

    model_config = pydantic.ConfigDict(extra="allow")

    task: Literal[tuple(SYSTEMS)]
    """The task that is tuned; its keys stand in the same file."""
    search: SearchConfig
    """How the search goes."""

    @property
    def system(self):
        """The `System` of the task that is tuned."""
        return find_system(self.task)

    def base(self):
        """The config of the task that is tuned, checked together with the ends of all ranges.

        Returns:
            A `TaskConfig`.

        Raises:
            UserError: If the config is wrong, or a key of the space is.
        """
        values = {"task": self.task, "output": str(self.output), "seed": self.seed, **(self.model_extra or {})}
        base = check_values(self.system.part("config"), values, "config")
        problems = []
        for key, allowed in self.search.space.items():
            if key.split(".")[0] in (*GIVEN, *self.system.unsearched):
                problems.append(f"search.space: {key}: '{key.split('.')[0]}' cannot be searched")
                continue
            problems += [
                f"search.space: {key}: unknown parent {parent}"
                for parent in allowed.when
                if parent not in self.search.space
            ]
            errors, always = [], []
            for value in allowed.extremes:
                try:
                    with_values(base, {key: value})
                except UserError as error:
                    errors.append(error.problems[0])
                    always += [problem for problem in error.problems if problem.startswith(f"{key}: {key}")]
            # A value may be right only together with another key's; unknown keys, types and bounds never are.
            if always or len(errors) == len(allowed.extremes):
                problems.append(f"search.space: {(always or errors)[0]}")
        search, known = self.search, self.system.objectives
        if search.objective not in known:
            problems.append(f"search.objective: '{search.objective}' is not reported; known: {', '.join(known)}")
        least, epochs = search.min_budget, base.training.epochs
        if (
            search.method.startswith("hyperband")
            and search.budget is None
            and search.unit == "epochs"
            and least > epochs
        ):
            problems.append(f"search.min_budget: {least:g} is above the {epochs} of training.epochs; lower it")
        list_problems(problems)
        return base
