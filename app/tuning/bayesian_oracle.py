"""Bayesian optimisation as a Keras Tuner oracle."""

import keras_tuner as kt

from app.tuning.oracle import SearchOracle
from app.tuning.space import Space
from app.tuning.surrogate import Observation, Surrogate


class BayesianOracle(SearchOracle):
    """Gaussian process search: `keras_tuner.Tuner(oracle=BayesianOracle(...))`.

    The first trials are random; then each has the highest acquisition times the probability that
    it can be trained at all. No configuration comes twice. Running trials count as liars.

    Args:
        objective: Name or `keras_tuner.Objective`.
        max_trials: Most trials.
        num_initial_points: Random trials at the start; by default 3, or a hyper-parameter each.
        acquisition: "expected_improvement" or "probability_of_improvement".
        liar: "min", "mean", "max" or "believer", see `Surrogate`.
        kernel: "matern", "matern_3_2" or "squared_exponential", see `Kernel`.
        feasibility: Whether failed trials teach where not to go.
        marginalise: Draws of the kernel's parameters to average over; 0 takes the most likely ones.
        size_of: Function `(values) -> (parameters, activations)`, counted before a model is built,
            or None. `BudgetedTuner` sets it.
        seed: Integer.
        **kwargs: See `SearchOracle`.

    Example:

    ```python
    tuner = keras_tuner.RandomSearch(...)  # before
    tuner = keras_tuner.Tuner(BayesianOracle("val_loss", max_trials=50), hypermodel)
    ```

    Reference:
        - Bertrand, thesis, 2019, sections 2.2 and 2.6.3.
    """

    def __init__(
        self,
        objective,
        max_trials=10,
        num_initial_points=None,
        acquisition="expected_improvement",
        liar="max",
        kernel="matern",
        feasibility=True,
        marginalise=0,
        size_of=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(objective=objective, max_trials=max_trials, seed=seed, **kwargs)
        self.num_initial_points = num_initial_points
        self.size_of = size_of
        self._options = {
            "acquisition_name": acquisition, "liar": liar, "kernel": kernel,
            "feasibility": feasibility, "marginalise": marginalise,
        }  # fmt: skip
        self._surrogate, self._surrogate_state = None, None
        self._sizes = {}
        # Refuses unknown options now, not after the first trials.
        Surrogate(Space(kt.HyperParameters()), **self._options)

    @property
    def surrogate(self):
        """The `Surrogate` over the present space."""
        if self._surrogate is None or self._surrogate.space is not self.space:
            self._surrogate = Surrogate(self.space, size_of=self.size_of, **self._options)
            if self._surrogate_state:
                self._surrogate.set_state(self._surrogate_state)
        return self._surrogate

    def suggest(self, trial_id):
        """See `SearchOracle.suggest`."""
        rng = self._generator()
        initial = max(3, len(self.space.names)) if self.num_initial_points is None else self.num_initial_points
        observations = self.observations() if len(self.trials) >= initial else []
        rows = self.surrogate.propose(observations, self._running(), self._taken(), 1, rng)
        return self.space.values(rows[0]) if rows else None

    def observations(self):
        """What the ended trials taught.

        Returns:
            List of `Observation`.
        """
        return [
            Observation(self._row(self.trials[name]), self._value(self.trials[name]), size=self._size(name))
            for name in self.end_order
        ]

    def get_state(self):
        """State as JSON."""
        state = self._surrogate.get_state() if self._surrogate else self._surrogate_state
        return {**super().get_state(), "surrogate": state, "sizes": self._sizes}

    def set_state(self, state):
        """Take up `get_state`."""
        super().set_state(state)
        self._surrogate, self._surrogate_state = None, state["surrogate"]
        self._sizes = {name: tuple(size) for name, size in state["sizes"].items() if size}

    def _running(self):
        """Rows of the trials under way."""
        return [self._row(trial) for trial in self.ongoing_trials.values()]

    def _size(self, name):
        """Size of a trial's model: counted when something has failed, since counting takes a build's time."""
        if self.size_of is None or all(trial.status != "FAILED" for trial in self.trials.values()):
            return None
        if name not in self._sizes:
            values = {
                key: value
                for key, value in self.trials[name].hyperparameters.values.items()
                if not key.startswith("tuner/")
            }
            self._sizes[name] = self.surrogate.log_size(values)
        return self._sizes[name]

    def _value(self, trial):
        return self.sign * trial.score if trial.status == "COMPLETED" else float("nan")
