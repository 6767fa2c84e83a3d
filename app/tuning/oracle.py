"""Keras Tuner's oracle without its traps: nothing blocks, repeats, or gets lost."""

import collections
import json
import logging
import math
import time
import traceback
from pathlib import Path

import keras_tuner as kt
import numpy as np
from keras_tuner.engine.trial import Trial

from app.files import write_text
from app.tuning.space import Space
from app.tuning.trial_files import BEST, LAST

LOG = logging.getLogger("kerasmorph")
MOST_STARTS = 5  # a trial whose process dies, of memory perhaps, would else be begun for ever


class SearchOracle(kt.Oracle):
    """Base of the oracles: bookkeeping that survives kills of workers and of the chief.

    What differs from `keras_tuner.Oracle`:

    - An error while a trial is proposed ends the search with `stopped_because`; there it would
      leave a lock held, and every worker waiting.
    - A trial ended twice (a message repeated after a lost connection) counts once.
    - After a restart an ongoing trial still belongs to its worker; one whose worker has been silent
      for `lease_seconds` goes to the next that asks; one that died with five processes has failed.
    - A configuration is never proposed twice; values keep 64 bits over gRPC.

    Args:
        objective: Name or `keras_tuner.Objective`.
        max_trials: Most trials, promotions included; None for no limit.
        lease_seconds: Silence after which a worker counts as dead.
        max_consecutive_failed_trials: Failures in a row that end the search.
        **kwargs: See `keras_tuner.Oracle`.

    Attributes:
        stopped_because: Why the search ended before its time, or None.
        clock: Dict from trial to the times, in seconds of the epoch, of its first start and its end.
        keep_best: Number of best trials whose checkpoints are kept; None keeps all.
    """

    def __init__(
        self, objective, max_trials=None, lease_seconds=120.0, max_consecutive_failed_trials=30, seed=None, **kwargs
    ):
        kwargs["max_consecutive_failed_trials"] = max_consecutive_failed_trials
        super().__init__(objective=objective, max_trials=max_trials, seed=1 if seed is None else seed + 1, **kwargs)
        self.lease_seconds = lease_seconds
        self.stopped_because = None
        self.heard = {}
        self._space, self._rows = None, (None, {})
        self._starts = collections.Counter()
        self.clock = {}
        self.verbose = 0
        self.keep_best = None

    def suggest(self, trial_id):
        """The next trial.

        Args:
            trial_id: Its name.

        Returns:
            Dict of values; "wait" while other trials must end first; None when there are no more.
        """
        raise NotImplementedError

    @property
    def space(self):
        """`Space` of the hyper-parameters declared so far."""
        if self._space is None or self._space_of != len(self.hyperparameters.space):
            self._space, self._space_of = Space(self.hyperparameters), len(self.hyperparameters.space)
        return self._space

    @property
    def sign(self):
        """1 if the objective is minimised, -1 if it is maximised."""
        return -1.0 if self.objective.direction == "max" else 1.0

    def populate_space(self, trial_id):
        """Keras Tuner's question for the next trial, see `suggest`."""
        if self.stopped_because:
            return {"status": "STOPPED"}
        try:
            values = self.suggest(trial_id)
        except Exception as error:
            traceback.print_exc()
            self.stopped_because = f"proposing trial {trial_id} failed: {error}"
            return {"status": "STOPPED"}
        if values is None:
            return {"status": "STOPPED"}
        if values == "wait":
            return {"status": "IDLE"}
        return {"status": "RUNNING", "values": values}

    @kt.synchronized
    def create_trial(self, tuner_id):
        """The worker's trial: its ongoing one, that of a dead worker, or a new one."""
        self.heard[tuner_id] = time.monotonic()
        for other, trial in list(self.ongoing_trials.items()):
            if other != tuner_id and self._silent(other):
                LOG.info("worker %s is silent; trial %s goes to the next", other, trial.trial_id)
                del self.ongoing_trials[other]
                self.tuner_ids.discard(other)
                self._retry_queue.append(trial.trial_id)
        trial = super().create_trial(tuner_id)
        while trial.status == "RUNNING" and self._starts[trial.trial_id] >= MOST_STARTS:
            trial.status, trial.message = "FAILED", f"its process died {MOST_STARTS} times"
            self.end_trial(trial)
            trial = super().create_trial(tuner_id)
        if trial.status == "RUNNING":
            self._starts[trial.trial_id] += 1
            self.clock.setdefault(trial.trial_id, [time.time(), None])
            self.save()
        elif trial.status == "STOPPED" and self.ongoing_trials:
            # Should one of the others die, this worker shall take its trial.
            trial.status = "IDLE"
            self.tuner_ids.add(tuner_id)
        return trial

    @kt.synchronized
    def update_trial(self, trial_id, metrics, step=0):
        """Metrics of a step; without metrics a sign of life of its worker."""
        if trial_id not in self.trials:  # of another search; an exception here would leave the lock held
            return Trial(self.get_space(), trial_id, "STOPPED")
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self.heard[tuner_id] = time.monotonic()
        trial = self.trials[trial_id]
        if metrics and not self._has_step(trial, step):
            return super().update_trial(trial_id, metrics, step)
        return trial

    @kt.synchronized
    def end_trial(self, trial):
        """A trial's end; a second one is ignored."""
        name = trial.trial_id
        if name in self.end_order or name not in self.trials:
            # Its worker was taken for dead, and came back: nobody need go on with it.
            self._retry_queue = [trial_id for trial_id in self._retry_queue if trial_id != name]
            self.ongoing_trials = {key: other for key, other in self.ongoing_trials.items() if other.trial_id != name}
            return
        # Numbers come back from a worker with 32 bits.
        known = self.trials[name].hyperparameters.values
        trial.hyperparameters.values = {**trial.hyperparameters.values, **known}
        self.clock[name][1] = time.time()
        super().end_trial(trial)
        if name not in self.end_order:  # to be tried again
            return
        self._retry_queue = [trial_id for trial_id in self._retry_queue if trial_id != name]
        ended = self.trials[name]
        self.on_end(ended)
        score = "failed" if ended.status != "COMPLETED" else f"{self.objective.name} {ended.score:.5g}"
        best = self.get_best_trials(1)[0].score
        of = f" of {self.max_trials}" if self.max_trials else ""
        LOG.info("trial %s%s: %s, best so far %s", name, of, score, "none" if best is None else f"{best:.5g}")
        self.prune()

    def on_end(self, trial):
        """What an oracle notes of a trial that has completed or failed.

        Args:
            trial: The oracle's own.
        """

    def prune(self):
        """Delete the checkpoints that nobody needs: of all but the `keep_best` best trials and those to go on with."""
        if self.keep_best is None:
            return
        best = {trial.trial_id for trial in self.get_best_trials(self.keep_best)}
        for name in self.end_order:
            folder = Path(self._get_trial_dir(name))
            if not self.needs(name):
                for path in folder.glob(LAST):
                    path.unlink(missing_ok=True)
            if name not in best:
                (folder / BEST).unlink(missing_ok=True)

    def needs(self, trial_id):
        """Whether an ended trial may be continued.

        Args:
            trial_id: Its name.

        Returns:
            Bool.
        """
        return False

    def score_trial(self, trial):
        """Best value of the objective over the trial's steps; NaN, a failure, where there is none."""
        trial.score, trial.best_step = math.nan, 0
        if trial.metrics.exists(self.objective.name):
            history = [
                (seen.step, float(np.mean(seen.value))) for seen in trial.metrics.get_history(self.objective.name)
            ]
            history = [(step, value) for step, value in history if math.isfinite(value)]
            if history:
                trial.best_step, trial.score = min(history, key=lambda pair: self.sign * pair[1])

    def last_value(self, trial):
        """Objective after the trial's last step, to be minimised; NaN for a failure.

        Args:
            trial: Ended trial.

        Returns:
            Float.
        """
        if trial.status != "COMPLETED" or not trial.metrics.exists(self.objective.name):
            return math.nan
        last = max(trial.metrics.get_history(self.objective.name), key=lambda observation: observation.step)
        return self.sign * float(np.mean(last.value))

    def save(self):
        """Write the state, whole or not at all."""
        write_text(self._get_oracle_fname(), json.dumps(self.get_state()))

    def _save_trial(self, trial):
        write_text(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", json.dumps(trial.get_state()))

    def reload(self):
        """Read the search back; its workers keep their trials, and a while to report."""
        super().reload()
        # A trial that only its own file names was not yet begun when the process was killed.
        self.trials = {name: self.trials[name] for name in self.start_order}
        # Keras Tuner saves an end before it takes the trial off this list.
        ongoing = {tuner: name for tuner, name in self._were_ongoing.items() if name not in self.end_order}
        self.ongoing_trials = {tuner: self.trials[name] for tuner, name in ongoing.items()}
        for trial in self.ongoing_trials.values():
            trial.status = "RUNNING"
        self._retry_queue = [name for name in self._retry_queue if name not in self._were_ongoing.values()]
        self.heard = dict.fromkeys(self.ongoing_trials, time.monotonic())

    def get_state(self):
        """State as JSON."""
        return {**super().get_state(), "stopped_because": self.stopped_because, "starts": self._starts,
                "clock": self.clock}  # fmt: skip

    def set_state(self, state):
        """Take up `get_state`."""
        super().set_state(state)
        self._were_ongoing = dict(state["ongoing_trials"])
        self.stopped_because = state["stopped_because"]
        self._starts = collections.Counter(state["starts"])
        self.clock = state["clock"]

    def _silent(self, tuner_id):
        return time.monotonic() - self.heard.setdefault(tuner_id, time.monotonic()) > self.lease_seconds

    def _has_step(self, trial, step):
        name = self.objective.name
        return trial.metrics.exists(name) and any(
            observation.step == step for observation in trial.metrics.get_history(name)
        )

    def _check_objective_found(self, metrics):
        """A report without the objective makes a failed trial, see `score_trial`; Keras Tuner raises here."""

    def _check_consecutive_failures(self):
        """Note that the search must end; Keras Tuner raises here, and its lock is never released."""
        last = [self.trials[name] for name in self.end_order[-self.max_consecutive_failed_trials :]]
        if len(last) == self.max_consecutive_failed_trials and all(trial.status == "FAILED" for trial in last):
            message = (last[-1].message or "no message").strip().splitlines()[-1]
            self.stopped_because = f"{len(last)} trials in a row failed, the last with: {message}"

    def _taken(self):
        """Keys of all configurations that have been proposed."""
        rows = [self._row(trial) for trial in self.trials.values()]
        return set(self.space.keys(np.array(rows))) if rows else set()

    def _row(self, trial):
        """Where a trial's configuration lies in the `space`."""
        space = self.space
        if self._rows[0] is not space:
            self._rows = space, {}
        if trial.trial_id not in self._rows[1]:
            self._rows[1][trial.trial_id] = space.row(trial.hyperparameters.values)
        return self._rows[1][trial.trial_id]

    def _generator(self):
        """Random numbers of the present moment: a resumed search draws the same."""
        return np.random.default_rng([self.seed, len(self.trials), len(self.end_order)])
