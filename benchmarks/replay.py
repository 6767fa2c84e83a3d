"""Simulated time: oracles search tables and simulators, several workers at once, in a fraction of a second."""

import heapq
import itertools
import math

OUT_OF_MEMORY_SECONDS = 1.0


class Incumbent:
    """Lowest loss at any moment."""

    def __init__(self):
        self.events = []

    def add(self, moment, loss):
        """Note a loss that became known."""
        if math.isfinite(loss):
            self.events.append((moment, loss))

    def at(self, moments, before):
        """Lowest loss known at each moment.

        Args:
            moments: Increasing list of seconds.
            before: What counts before the first loss.

        Returns:
            List of losses.
        """
        best, found, events = before, [], sorted(self.events)
        position = 0
        for moment in moments:
            while position < len(events) and events[position][0] <= moment:
                best = min(best, events[position][1])
                position += 1
            found.append(best)
        return found


def replay_oracle(oracle, task, budget_seconds, workers, folder, fails=None):
    """Let an oracle search, each trial taking the time it would have taken.

    Args:
        oracle: Any Keras Tuner oracle; nothing is written to disk.
        task: Object with `curve(values)`, `seconds(values)` and `epochs`.
        budget_seconds: Simulated time.
        workers: Trials at once.
        folder: A folder that the oracle may look at.
        fails: Function `(values) -> bool`, or None.

    Returns:
        `Incumbent`.
    """
    oracle._set_project_dir(str(folder), "search")
    oracle.verbose = 0
    oracle.save = lambda *_: None
    oracle._save_trial = lambda *_: None
    incumbent, order = Incumbent(), itertools.count()
    free = [(0.0, next(order), f"worker{index}", None) for index in range(workers)]
    idle = []
    while free:
        now, _, worker, done = heapq.heappop(free)
        if now > budget_seconds:
            break
        if done is not None:
            trial = done[0]
            trial.status = done[1]
            oracle.end_trial(trial)
            for other in idle:
                heapq.heappush(free, (now, next(order), other, None))
            idle = []
        trial = oracle.create_trial(worker)
        if trial.status == "IDLE":
            idle.append(worker)
        if trial.status != "RUNNING":
            continue
        until, status = _train(oracle, task, trial, now, incumbent, fails)
        heapq.heappush(free, (until, next(order), worker, (trial, status)))
    return incumbent


def _train(oracle, task, trial, now, incumbent, fails):
    values = trial.hyperparameters.values
    if fails is not None and fails(values):
        return now + OUT_OF_MEMORY_SECONDS, "FAILED"
    first = int(values.get("tuner/initial_epoch", 0))
    last = min(int(values.get("tuner/epochs", task.epochs)), task.epochs)
    curve, seconds = task.curve(values), task.seconds(values)
    for epoch in range(first, last):
        moment = now + (epoch - first + 1) * seconds
        incumbent.add(moment, float(curve[epoch]))
    # Values known at the end of a trial suffice: no oracle looks at a trial before.
    if hasattr(oracle, "last_value"):
        for epoch in {first + int(curve[first:last].argmin()), last - 1}:
            oracle.update_trial(trial.trial_id, {"loss": float(curve[epoch])}, step=epoch + 1)
    else:
        oracle.update_trial(trial.trial_id, {"loss": float(curve[first:last].min())}, step=last)
    return now + (last - first) * seconds, "COMPLETED"


def replay_optuna(task, budget_seconds, workers, seed, fails=None):
    """Optuna's TPE with its Hyperband pruner in the same simulated time.

    Args:
        task: See `replay_oracle`; its `hyperparameters()` are translated.
        budget_seconds: Simulated time.
        workers: Trials at once.
        seed: Integer.
        fails: Function `(values) -> bool`, or None.

    Returns:
        `Incumbent`.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=task.epochs, reduction_factor=3),
        study_name=str(seed),
    )
    incumbent, order = Incumbent(), itertools.count()
    events = [(0.0, next(order), None) for _ in range(workers)]
    while events:
        now, _, running = heapq.heappop(events)
        if now > budget_seconds:
            break
        if running is None:
            trial = study.ask()
            values = _suggest(trial, task.hyperparameters())
            if fails is not None and fails(values):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                heapq.heappush(events, (now + OUT_OF_MEMORY_SECONDS, next(order), None))
                continue
            running = (trial, task.curve(values), task.seconds(values), 0)
        else:
            trial, curve, seconds, epoch = running
            incumbent.add(now, float(curve[epoch - 1]))
            trial.report(float(curve[epoch - 1]), epoch)
            if epoch == task.epochs or trial.should_prune():
                pruned = epoch < task.epochs
                value = None if pruned else float(curve.min())
                state = optuna.trial.TrialState.PRUNED if pruned else None
                study.tell(trial, value, state=state)
                heapq.heappush(events, (now, next(order), None))
                continue
        trial, curve, seconds, epoch = running
        heapq.heappush(events, (now + seconds, next(order), (trial, curve, seconds, epoch + 1)))
    return incumbent


def _suggest(trial, hyperparameters):
    values = {}
    for hp in hyperparameters.space:
        kind = type(hp).__name__
        if kind == "Choice":
            values[hp.name] = trial.suggest_categorical(hp.name, hp.values)
        elif kind == "Int":
            values[hp.name] = trial.suggest_int(hp.name, hp.min_value, hp.max_value, log=hp.sampling == "log")
        else:
            values[hp.name] = trial.suggest_float(hp.name, hp.min_value, hp.max_value, log=hp.sampling == "log")
    return values
