"""Task `tune`: search the hyper-parameters of another task."""

import contextlib
import io
import json
import logging
import os
import sys
from collections import Counter

from app.config import config_text, with_values
from app.errors import UserError
from app.notes import note
from app.quiet import import_keras
from app.training.cost import check_memory
from app.training.run_folder import RunFolder, log
from app.tuning.bounds import bounds_lines
from app.tuning.config import TuneConfig

FREE_KEYS = ("search.trials", "search.cycles", "search.keep_best", "search.lease_seconds")
SEARCH_LOCK = "search.lock"


def run(config, dry_run=False, action="run", workers=1, address=None, name=None):
    """Search, or show the status of a search.

    Args:
        config: `TuneConfig`.
        dry_run: Check and print only.
        action: "run"; "bounds" of random search in this space; "status" or "best" of a search that was
            begun; "chief" or "worker" of one over several machines that share the output folder.
        workers: Processes on this machine.
        address: "HOST:PORT" of the chief.
        name: The worker's own name, unique.

    Raises:
        UserError: If anything about config, data or folder is wrong.
    """
    base = config.base()
    resolved = TuneConfig.model_validate(
        {**config.model_dump(mode="json", by_alias=True), **base.model_dump(mode="json", by_alias=True)}
    )
    folder = RunFolder(config.output)
    folder.check(resolved, FREE_KEYS)
    if action == "bounds":
        return print("\n".join(bounds_lines(_space_size(config), config.search.trials)))
    if action in ("status", "best"):
        return _tell(config, base, folder, action)
    check_memory(_smallest(config, base), f"the smallest network of search.space: {config.system.memory_keys}")
    if dry_run:
        return _describe(config, base, folder)
    if action == "run" and workers > 1:
        return _run_with_workers(config, resolved, base, folder, workers)
    if action in ("chief", "worker"):
        _join(action, address, name, folder)
    if action == "worker":
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    _search(config, resolved, base, folder, action)


def _smallest(config, base):
    """Bytes that the smallest network of a space takes to train, each key at the end where it takes least."""
    needed = lambda smaller: config.system.cost(smaller).bytes(smaller.training.batch_size)  # noqa: E731
    for key, allowed in config.search.space.items():
        ends = []
        for value in allowed.extremes:
            with contextlib.suppress(UserError):  # right only together with another key's
                ends.append(with_values(base, {key: value}))
        base = min(ends, key=needed, default=base)
    return needed(base)


def _cohort(config, base, folder):
    """What the trials are trained and measured on."""
    config.system.check(base)
    parts = config.system.deal(base, folder.path / "phantoms")
    config.system.check_parts(base, parts)
    return config.system.read(base, parts)


def _search(config, resolved, base, folder, action):
    import_keras()

    from app.parent import watch_parent
    from app.tuning.distributed import make_token, serve

    watch_parent()
    trials = _trials(config, resolved, base, folder, action)
    oracle = make_oracle(config, base)
    tuner = _loaded(folder, lambda: _tuner(config, base, folder, oracle, trials, action))
    if action == "chief":
        make_token(folder.path / "search.token")
        tuner.save()
        if not serve(oracle):
            raise UserError(f"{folder.path}: no worker for an hour; start workers, then run the same command again")
    else:
        tuner.search()
    if action != "worker":
        tuner.save()
        _conclude(config, base, folder, oracle)


def _trials(config, resolved, base, folder, action):
    """What is trained and measured; the folder is opened, but by workers."""
    from app.tuning.trials import Trials

    simulated = getattr(base.data, "phantom", None) is not None
    if simulated and action != "worker":  # its images are written into the folder
        folder.open(resolved, SEARCH_LOCK)
    trials = Trials(config.system.part("steps")(base, _cohort(config, base, folder)))
    if config.search.objective not in trials.objectives:
        raise UserError(
            f"search.objective: {config.search.objective} needs {config.system.objective_needs}; known: "
            f"{', '.join(trials.objectives)}"
        )
    if not simulated and action != "worker":  # what is wrong with the images leaves no folder behind
        folder.open(resolved, SEARCH_LOCK)
    return trials


def _tuner(config, base, folder, oracle, trials, action):
    from app.tuning.budgeted_tuner import BudgetedTuner
    from app.tuning.hparams_board import HParamsBoard
    from app.tuning.task_model import TaskModel

    search = config.search
    return BudgetedTuner(
        oracle,
        TaskModel(trials, base, search.space),
        epochs=budget(config, base),
        unit=search.unit,
        keep_best=search.keep_best,
        seed=config.seed,
        max_model_size=search.max_parameters,
        board=HParamsBoard(folder.tensorboard, search.objective, None if action == "worker" else oracle.space),
        directory=str(folder.path),
        project_name="trials",
    )


def _conclude(config, base, folder, oracle):
    from app.tuning.report import write_results

    path = write_results(config, base, folder, oracle)
    if oracle.stopped_because:
        raise UserError(f"{folder.path}: the search ended early: {oracle.stopped_because}; results so far: {path}")
    if not any(trial.status == "COMPLETED" for trial in oracle.trials.values()):
        raise UserError(f"{folder.path}: {_why_all_failed(folder)}; change search.space or the config; report: {path}")
    log(f"report: {path}")


def _why_all_failed(folder):
    """The most frequent last line of the trials' errors."""
    files = (folder.path / "trials").glob("trial_*/error.txt")
    reasons = Counter((file.read_text(encoding="utf-8").strip().splitlines() or ["no message"])[-1] for file in files)
    reason, count = reasons.most_common(1)[0] if reasons else ("no message", 0)
    return f"all trials failed, {count} of them with: {reason[:160]}"


def _space_size(config):
    """Number of different configurations; infinite where a range is continuous."""
    import_keras()

    from app.tuning.declare import declare
    from app.tuning.space import Space

    return Space(declare(config.search.space)).size


def make_oracle(config, base):
    """The oracle of a search.

    Args:
        config: `TuneConfig`.
        base: Config of the task that is tuned.

    Returns:
        `SearchOracle`.
    """
    import keras_tuner as kt

    from app.tuning.bayesian_oracle import BayesianOracle
    from app.tuning.declare import declare
    from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle
    from app.tuning.plain_oracles import GridOracle, RandomOracle

    search = config.search
    options = {
        "objective": kt.Objective(search.objective, search.direction),
        "max_trials": search.trials,
        "hyperparameters": declare(search.space),
        "allow_new_entries": False,
        "lease_seconds": search.lease_seconds,
        "seed": config.seed,
    }
    if search.method == "random":
        return RandomOracle(**options)
    if search.method == "grid":
        return GridOracle(points=search.grid_points, **options)
    options |= {name: getattr(search, name) for name in ("liar", "acquisition", "kernel", "marginalise")}
    if search.method == "bayesian":
        return BayesianOracle(**options)
    return HyperbandBayesianOracle(
        max_budget=budget(config, base),
        min_budget=search.min_budget,
        factor=search.factor,
        cycles=search.cycles,
        guided=search.method == "hyperband+bayesian",
        **options,
    )


def budget(config, base):
    """Full budget of a trial: `search.budget`, or the task's own epochs.

    Args:
        config: `TuneConfig`.
        base: Config of the task that is tuned.

    Returns:
        Whole epochs, or seconds as float.
    """
    if config.search.unit == "seconds":
        if config.search.budget is None:
            raise UserError("search.budget: missing; unit seconds needs the seconds of a full training")
        return float(config.search.budget)
    return int(config.search.budget or base.training.epochs)


def _loaded(folder, make):
    """The tuner with what was searched before, which Keras Tuner reads as it is made."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return make()
    except (json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
        raise UserError(
            f"{folder.path / 'trials'}: the search's state is damaged ({' '.join(str(error).split())[:100]}); "
            "restore it, or delete the folder to start afresh"
        ) from None


def _run_with_workers(config, resolved, base, folder, workers):
    from app.tuning.local_workers import run_local

    folder.open(resolved)  # the chief, a process of its own, holds the search itself
    run_local(folder.path / "config.yaml", folder.path / "workers", workers)
    log(f"report: {folder.path / 'report.html'}")


def _join(action, address, name, folder):
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UserError(
            f"tune {action}: --address HOST:PORT of the chief is needed, a port from 1 to 65535 (given: {address})"
        )
    if action == "worker" and not name:
        raise UserError("tune worker: --name is needed, unique to each worker")
    name = "chief" if action == "chief" else name.replace("chief", "worker")
    os.environ |= {"KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": port, "KERASTUNER_TUNER_ID": name}
    os.environ["KERASMORPH_TOKEN_FILE"] = str(folder.path / "search.token")
    if action == "chief" and host not in ("localhost", "127.0.0.1", "[::1]", "::1"):
        note(
            f"--address {host}: other machines reach the chief there, unencrypted; it answers those that can read "
            f"{folder.path / 'search.token'}"
        )


def _tell(config, base, folder, action):
    """What stands in the folder."""
    if not (folder.path / "trials" / "oracle.json").is_file():
        raise UserError(f"{folder.path}: no search in this folder; run 'python main.py tune --config FILE' first")
    import_keras()

    from app.tuning.report import best_config, status_lines

    oracle = make_oracle(config, base)
    oracle._set_project_dir(str(folder.path), "trials")
    _loaded(folder, oracle.reload)
    if action == "status":
        print("\n".join(status_lines(oracle)))
    else:
        print(config_text(best_config(config, base, oracle)), end="")


def _describe(config, base, folder):
    config.system.check(base)
    if getattr(base.data, "phantom", None) is None:
        _cohort(config, base, folder)
    import_keras()
    oracle = make_oracle(config, base)
    print(config_text(config), end="")
    points = oracle.space.size if oracle.space.size < float("inf") else "endlessly many"
    print(f"space: {len(oracle.space.names)} hyper-parameters, {points} points")
    if hasattr(oracle, "brackets"):
        brackets = oracle.brackets
        for bracket in range(brackets.largest, -1, -1):
            rungs = [f"{brackets.size(bracket, r)} x {brackets.budget(bracket, r):g}" for r in range(bracket + 1)]
            print(f"bracket {bracket}: {', '.join(rungs)} {config.search.unit}")
    print("dry run: nothing was written")
