"""Config of the task `tune`: another task's config with a `search` section."""

import importlib
from typing import Literal

import pydantic

from app.config import Config, TaskConfig, check_values, with_values
from app.errors import UserError, list_problems
from app.tuning.kernel import SHAPES

TRAINABLE = {"hypermorph": "app.tasks.hypermorph", "fov": "app.tasks.fov"}
FROZEN = ("output", "data", "evaluation", "task", "seed")
METHODS = ("random", "grid", "bayesian", "hyperband", "hyperband+bayesian")


class RangeConfig(Config):
    """Values of one key: `low` and `high`, or `choices`; `when` other keys have certain values."""

    low: int | float | None = None
    high: int | float | None = None
    scale: Literal["linear", "log", "reverse_log"] = "linear"
    step: int | float | None = pydantic.Field(None, gt=0)
    choices: list | None = pydantic.Field(None, min_length=1)
    when: dict[str, list] = {}

    @pydantic.model_validator(mode="after")
    def _one_kind(self):
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give low and high, or choices")
        if self.choices is None and not self.low < self.high:
            raise ValueError("low must be below high")
        if self.choices is None and self.scale != "linear" and self.low <= 0:
            raise ValueError("a logarithmic scale needs a positive low")
        return self

    @property
    def extremes(self):
        """Values that stand for all when a config is checked."""
        return self.choices if self.choices is not None else [self.low, self.high]


class SearchConfig(Config):
    """The search: see `app.tuning`."""

    method: Literal[METHODS] = "hyperband+bayesian"
    space: dict[str, RangeConfig] = pydantic.Field(min_length=1)
    objective: str = "validation_dice"
    direction: Literal["min", "max"] = "max"
    trials: int | None = pydantic.Field(None, ge=1)
    unit: Literal["epochs", "seconds"] = "epochs"
    budget: float | None = pydantic.Field(None, gt=0)
    min_budget: float = pydantic.Field(1, gt=0)
    factor: int = pydantic.Field(3, ge=2)
    cycles: int = pydantic.Field(1, ge=1)
    liar: Literal["min", "mean", "max", "believer"] = "max"
    acquisition: Literal["expected_improvement", "probability_of_improvement"] = "expected_improvement"
    kernel: Literal[SHAPES] = "matern"
    marginalise: int = pydantic.Field(0, ge=0, le=100)
    grid_points: int = pydantic.Field(5, ge=2)
    keep_best: int = pydantic.Field(3, ge=1)
    max_parameters: int | None = pydantic.Field(None, ge=1)
    lease_seconds: float = pydantic.Field(120, gt=0)

    @pydantic.model_validator(mode="after")
    def _ends(self):
        if self.method in ("random", "bayesian") and self.trials is None:
            raise ValueError(f"method {self.method} needs search.trials, or it would never end")
        return self


class TuneConfig(TaskConfig):
    """Config of the task: `task`, `output`, `seed`, `search`, and the keys of the task that is tuned."""

    model_config = pydantic.ConfigDict(extra="allow")

    task: Literal[tuple(TRAINABLE)]
    search: SearchConfig

    @property
    def trainable(self):
        """Module of the task that is tuned."""
        return importlib.import_module(TRAINABLE[self.task])

    def base(self):
        """The config of the task that is tuned, checked together with the ends of all ranges.

        Returns:
            A `TaskConfig`.

        Raises:
            UserError: If the config is wrong, or a key of the space is.
        """
        values = {"task": self.task, "output": str(self.output), "seed": self.seed, **(self.model_extra or {})}
        base = check_values(self.trainable.CONFIG, values, "config")
        problems = []
        for key, allowed in self.search.space.items():
            if key.split(".")[0] in FROZEN:
                problems.append(f"search.space: {key}: '{key.split('.')[0]}' cannot be searched")
                continue
            problems += [
                f"search.space: {key}: unknown parent {one}" for one in allowed.when if one not in self.search.space
            ]
            errors = []
            for value in allowed.extremes:
                try:
                    with_values(base, {key: value})
                except UserError as error:
                    errors += error.problems
            # A value may be right only together with another key's; unknown keys and types never are.
            if len(errors) == len(allowed.extremes):
                problems.append(f"search.space: {errors[0]}")
        list_problems(problems)
        return base
