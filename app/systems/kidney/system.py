"""Kidney transfer: segment, and bring a segmentation network to a new population."""

import numpy as np

from app.data.tables import csv_rows
from app.errors import UserError
from app.quiet import import_keras
from app.systems.masks.cohort import simulated_counts
from app.systems.masks.system import MaskSystem
from app.training.split_file import SPLIT
from transfer.strategy import STRATEGIES


class KidneySegmentation(MaskSystem):
    """The system of the task `kidney`."""

    free_keys = ("largest_component", "data.nan")
    unsearched = ("strategy", "source", "largest_component")

    def populations(self, config):
        """See `MaskSystem.populations`."""
        return STRATEGIES[config.strategy].populations

    def check(self, config, action=None):
        """See `System.check`; the source of a transfer is loaded, too."""
        if action is None and STRATEGIES[config.strategy].trains == "statistics":
            raise UserError("strategy: 'statistics' trains nothing that could be searched; choose another")
        if action is not None and (action == "transfer") != (config.source is not None):
            needed = "transfer" if config.source is not None else "train"
            raise UserError(f"kidney {action}: strategy '{config.strategy}' is run by 'kidney {needed}'")
        if config.data.phantom is not None:
            self._check_simulated(config)
        if config.source is not None:
            import_keras()

            from app.systems.kidney.source import check_source

            check_source(config)

    def _check_simulated(self, config):
        counts, populations = simulated_counts(config.data), self.populations(config)
        missing = [name for name in populations if not counts[name]]
        if missing:
            raise UserError(
                f"data.phantom: strategy '{config.strategy}' trains on the population {' and '.join(populations)}; no "
                f"training volume of {' and '.join(missing)} is left: raise adults (source) or children (target), or "
                "data.split"
            )

    def checked_parts(self, config, parts, path):
        """See `MaskSystem.checked_parts`: those of the strategy's populations."""
        populations = self.populations(config)
        for name in ("train", "validate"):
            parts[name] = [case for case in parts[name] if case.population in populations]
        parts["train"] = _limited(parts["train"], config.data.target_examples, config.seed)
        missing = [name for name in populations if not any(case.population == name for case in parts["train"])]
        if missing:
            raise UserError(
                f"{path}: strategy '{config.strategy}' trains on the population {' and '.join(populations)}; no "
                f"training volume of {' and '.join(missing)} is there: add subjects with that population, or change "
                "data.split"
            )
        return super().checked_parts(config, parts, path)

    def check_parts(self, config, parts):
        """See `System.check_parts`: nobody is tested on whom the source was trained."""
        _check_apart(config, parts["test"])

    def measurable(self, config):
        """See `System.measurable`: what an adapted network begins with is searched, which takes as long as epochs."""
        return config.source is None


def _limited(cases, most, seed):
    """Cases with at most so many of the target population, drawn by the seed."""
    target = [case for case in cases if case.population == "target"]
    if most is None:
        return cases
    order = np.random.default_rng(seed).permutation(len(target))[:most]
    kept = {id(target[index]) for index in order}
    return [case for case in cases if case.population != "target" or id(case) in kept]


def _check_apart(config, test):
    """Nobody may be tested on whom the source was trained."""
    if config.source is None or not (config.source / SPLIT).is_file():
        return
    rows = csv_rows(config.source / SPLIT, ("part", "subject"))
    trained = {row["subject"] for row in rows if row["part"] == "train"}
    both = sorted({case.subject for case in test} & trained)
    if both:
        raise UserError(
            f"source: {config.source} was trained on {len(both)} subjects that would be tested here "
            f"({', '.join(both[:3])} ...); use the same cohort, seed and data.split for both"
        )
