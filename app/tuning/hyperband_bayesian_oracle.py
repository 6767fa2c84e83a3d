"""Hyperband whose configurations a Gaussian process chooses, as a Keras Tuner oracle."""

from app.tuning.bayesian_oracle import BayesianOracle
from app.tuning.brackets import Brackets
from app.tuning.surrogate import Observation


class HyperbandBayesianOracle(BayesianOracle):
    """Hyperband's brackets, full trainings soon; new configurations by the acquisition at full budget.

    What a short training says about the end is left to a kernel over time (see `Kernel`), so that
    networks which are fast and then overfit are not preferred. A promoted trial is a new trial with
    `tuner/trial_id` of the one it goes on with, as in `keras_tuner.oracles.HyperbandOracle`:
    `tuner/epochs`, `tuner/initial_epoch`, `tuner/bracket` and `tuner/round` say what the tuner is to
    do. Use it with `BudgetedTuner` or `keras_tuner.Hyperband`'s conventions.

    Args:
        objective: Name or `keras_tuner.Objective`.
        max_budget: Full training: whole epochs (int) or seconds (float).
        factor: See `Brackets`.
        min_budget: See `Brackets`.
        cycles: See `Brackets`.
        guided: Whether the Gaussian process chooses; without, configurations are random.
        over_time: Whether trainings before the full budget are modelled by the kernel over time;
            without, the largest budget with enough observations is modelled alone (BOHB's rule).
        random_share: Share of the configurations drawn at random all the same.
        **kwargs: See `BayesianOracle`.

    Reference:
        - Bertrand, thesis, 2019, section 2.5.
        - Falkner et al., BOHB, ICML 2018.
    """

    def __init__(
        self,
        objective,
        max_budget,
        factor=3,
        min_budget=1,
        cycles=1,
        guided=True,
        over_time=True,
        random_share=0.1,
        max_trials=None,
        **kwargs,
    ):
        super().__init__(objective=objective, max_trials=max_trials, **kwargs)
        # Long trainings soon: what they teach guides the brackets that choose by short ones.
        self.brackets = Brackets(max_budget, factor, min_budget, cycles, long_second=guided)
        self.guided, self.random_share = guided, random_share
        self._options["over_time"] = over_time

    def suggest(self, trial_id):
        """See `SearchOracle.suggest`."""
        action, index, rung, before = self.brackets.next()
        if action == "promote":
            bracket = self.brackets.open[index]["bracket"]
            values = dict(self.trials[before].hyperparameters.values)
            values["tuner/trial_id"] = before
            values["tuner/initial_epoch"] = self.brackets.budget(bracket, rung - 1)
        elif action == "start":
            bracket = self.brackets.open[index]["bracket"]
            values = self._new(trial_id)
            if values is None:
                self.brackets.close(index)
                return self.suggest(trial_id)
            values["tuner/initial_epoch"] = 0
        else:
            return "wait" if action == "wait" else None
        values["tuner/epochs"] = self.brackets.budget(bracket, rung)
        values["tuner/bracket"], values["tuner/round"] = bracket, rung
        self.brackets.starts(trial_id, index, rung, before)
        return values

    def on_end(self, trial):
        """See `SearchOracle.on_end`: its rung may be through."""
        self.brackets.ends(trial.trial_id, self.last_value(trial))
        self.save()

    def reload(self):
        """See `SearchOracle.reload`; a trial may have ended just before its rung heard of it."""
        super().reload()
        for name in self.end_order:
            self.brackets.ends(name, self.last_value(self.trials[name]))

    def needs(self, trial_id):
        """See `SearchOracle.needs`: its rung may still promote it."""
        return self.brackets.may_promote(trial_id)

    def observations(self):
        """See `BayesianOracle.observations`: each with the share of the full budget it had."""
        return [
            Observation(
                self._row(trial := self.trials[name]),
                self.last_value(trial),
                trial.hyperparameters.values["tuner/epochs"] / self.brackets.max_budget,
                self._size(name),
            )
            for name in self.end_order
        ]

    def get_state(self):
        """State as JSON."""
        return {**super().get_state(), "brackets": self.brackets.get_state()}

    def set_state(self, state):
        """Take up `get_state`."""
        super().set_state(state)
        self.brackets.set_state(state["brackets"])

    def _new(self, trial_id):
        if self.guided and self._knows() and self._generator().random() >= self.random_share:
            return super().suggest(trial_id)
        rows = self.space.unused(1, self._taken(), self._generator())
        return self.space.values(rows[0]) if rows else None

    def _knows(self):
        """Whether enough long trainings were seen: from the first rung alone the fast would be taken for the good."""
        long = sum(
            observation.time * self.brackets.factor >= 0.999
            for observation in self.observations()
            if observation.value == observation.value
        )
        return long >= len(self.space.names)

    def _size(self, name):
        """A promoted trial has the size of the one it goes on with."""
        return super()._size(self.trials[name].hyperparameters.values.get("tuner/trial_id", name))
