"""What a search found: table, best config, figures, one page."""

import math

import numpy as np

from app.config import config_text, with_values
from app.errors import UserError
from app.files import write_csv, write_json, write_text
from app.reporting.html import Report
from app.tuning.declare import chosen
from app.tuning.figures import best_so_far, importance_bars, parallel_coordinates, slices
from app.tuning.importance import importance, predicted_slices
from app.tuning.trial_files import first_trial


def write_results(config, base, folder, oracle):
    """Write `results.csv`, `metrics.json`, `best.yaml`, the figures and `report.html`.

    Args:
        config: `TuneConfig`.
        base: Config of the task that is tuned.
        folder: `RunFolder`.
        oracle: `SearchOracle` at its end.

    Returns:
        Path of the report.
    """
    rows = table(config, oracle)
    if rows:
        write_csv(folder.path / "results.csv", rows)
    done = [row for row in rows if row["status"] == "COMPLETED"]
    seconds = sum(row["seconds"] or 0.0 for row in rows)
    metrics = {
        "trials": len(rows),
        "failed": sum(row["status"] == "FAILED" for row in rows),
        "configurations": len({row["configuration"] for row in rows}),
        "seconds": round(seconds, 3),
        "stopped_because": oracle.stopped_because,
    }
    report = Report(f"Search of {config.task}: {config.search.method}", folder)
    report.text(
        f"{len(rows)} trials of {metrics['configurations']} configurations, {metrics['failed']} failed, "
        f"{seconds:.0f} s of training in all."
    )
    if oracle.stopped_because:
        report.text(f"The search ended early: {oracle.stopped_because}")
    if done:
        best = oracle.get_best_trials(1)[0]
        metrics |= {"best_trial": best.trial_id, config.search.objective: best.score}
        write_text(folder.path / "best.yaml", config_text(best_config(config, base, oracle)))
        _figures(report, config, oracle, done)
        report.heading("Trials")
        order = sorted(rows, key=lambda row: math.inf if row["objective"] is None else oracle.sign * row["objective"])
        report.table(order[:50], best=0)
        report.heading("The best configuration (best.yaml)")
        report.listing(config_text(best_config(config, base, oracle)))
    report.heading("Config of the search")
    report.listing(config_text(config))
    write_json(folder.path / "metrics.json", metrics)
    return report.write()


def table(config, oracle):
    """One row a trial.

    Args:
        config: `TuneConfig`.
        oracle: `SearchOracle`.

    Returns:
        List of dicts, in the order of their start.
    """
    rows, began = [], min((start for start, _ in oracle.clock.values()), default=0.0)
    for name in oracle.start_order:
        trial = oracle.trials[name]
        values = trial.hyperparameters.values
        start, end = oracle.clock.get(name, (None, None))
        last = oracle.last_value(trial)
        rows.append(
            {
                "trial": name,
                "configuration": first_trial(oracle, trial),
                "status": trial.status,
                "objective": trial.score if trial.status == "COMPLETED" else None,
                "last": oracle.sign * last if math.isfinite(last) else None,
                "best_step": trial.best_step,
                "budget": values.get("tuner/epochs"),
                "bracket": values.get("tuner/bracket"),
                "rung": values.get("tuner/round"),
                "finished_at": None if end is None else round(end - began, 3),
                "seconds": None if end is None else round(end - start, 3),
                **{key: _cell(chosen(config.search.space, values).get(key)) for key in config.search.space},
                "error": (trial.message or "").strip().splitlines()[-1] if trial.message else None,
            }
        )
    return rows


def best_config(config, base, oracle):
    """The task's config with the values of the best trial, and a folder of its own.

    Args:
        config: `TuneConfig`.
        base: Config of the task that is tuned.
        oracle: `SearchOracle`.

    Returns:
        `TaskConfig`.

    Raises:
        UserError: If no trial has ended well.
    """
    best = oracle.get_best_trials(1)
    if not best or best[0].status != "COMPLETED":
        raise UserError(f"{config.output}: no trial has ended well so far; look at 'tune status'")
    values = chosen(config.search.space, best[0].hyperparameters.values)
    return with_values(base, {**values, "output": str(config.output / "best")})


def status_lines(oracle):
    """How a search stands.

    Args:
        oracle: `SearchOracle`, read from its folder.

    Returns:
        List of lines.
    """
    count = {kind: sum(value.status == kind for value in oracle.trials.values()) for kind in ("COMPLETED", "FAILED")}
    of = f" of at most {oracle.max_trials}" if oracle.max_trials else ""
    lines = [
        f"{len(oracle.trials)} trials{of}: {count['COMPLETED']} completed, {count['FAILED']} failed, "
        f"{len(oracle.ongoing_trials)} running"
    ]
    lines += [f"running: trial {trial.trial_id} on {worker}" for worker, trial in oracle.ongoing_trials.items()]
    best = oracle.get_best_trials(1)
    if best and best[0].status == "COMPLETED":
        lines.append(f"best: trial {best[0].trial_id}, {oracle.objective.name} {best[0].score:.5g}")
        own = {key: value for key, value in best[0].hyperparameters.values.items() if not key.startswith("tuner/")}
        lines += [f"  {key}: {value}" for key, value in own.items()]
    if oracle.stopped_because:
        lines.append(f"ended early: {oracle.stopped_because}")
    return lines


def _figures(report, config, oracle, done):
    name = config.search.objective
    report.heading("Best so far")
    report.figure("best_so_far", best_so_far(done, name, oracle.sign), f"Best {name} against time; each dot a trial.")
    report.heading("Configurations")
    keys = list(config.search.space)
    report.figure(
        "parallel_coordinates",
        parallel_coordinates(oracle.space, done, keys, name, oracle.sign),
        "Each line a configuration at its largest budget, the better the darker.",
    )
    observations, dimensions = _observations(oracle, done), len(oracle.space.names)
    if len(observations) < dimensions + 3:
        report.text("Too few trials to say which hyper-parameters matter.")
        return
    rng = np.random.default_rng(0)
    report.heading("What matters")
    report.figure(
        "importance",
        importance_bars(importance(oracle.space, observations, rng)),
        "Share of the predicted variation that each hyper-parameter explains by itself (a Gaussian process' mean).",
    )
    report.figure(
        "slices",
        slices(predicted_slices(oracle.space, observations, rng), name, oracle.sign),
        "Prediction and deviation along each hyper-parameter through the best configuration.",
    )


def _observations(oracle, done):
    from app.tuning.surrogate import Observation

    largest = {}
    for row in done:  # each configuration once, at its largest budget
        largest[row["configuration"]] = row
    return [
        Observation(
            oracle.space.row(oracle.trials[row["trial"]].hyperparameters.values), oracle.sign * row["objective"]
        )
        for row in largest.values()
    ]


def _cell(value):
    return str(value) if isinstance(value, list | dict) else value
