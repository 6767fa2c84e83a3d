"""The task `tune` as a user runs it: one process or several, killed and resumed, and its errors."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from tests.conftest import ROOT


def results(folder):
    with open(folder / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def found(folder):
    """What must not depend on interruptions."""
    return [{key: row[key] for key in row if "second" not in key and key != "finished_at"} for row in results(folder)]


def test_a_search_leaves_results_best_config_and_report(search_config, tmp_path, main):
    """Everything a user needs on a Monday: the table, the best config, which runs, and a page."""
    path = search_config(method="hyperband+bayesian", budget=3, trials=None)
    done = main("tune", "--config", path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "search"
    rows = results(folder)
    assert len(rows) == 3 + 1 + 2
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert sum(row["configuration"] != row["trial"] for row in rows) == 1
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["validation_dice"] == max(float(row["objective"]) for row in rows)
    best = yaml.safe_load((folder / "best.yaml").read_text(encoding="utf-8"))
    row = next(row for row in rows if row["trial"] == metrics["best_trial"])
    assert best["training"]["learning_rate"] == pytest.approx(float(row["training.learning_rate"]))
    assert str(best["network"]["encoder"]) == row["network.encoder"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") >= 2
    assert main("hypermorph", "--config", folder / "best.yaml", "--dry-run").returncode == 0
    status = main("tune", "status", "--config", path)
    assert "6 trials: 6 completed, 0 failed, 0 running" in status.stdout
    assert main("tune", "best", "--config", path).stdout == (folder / "best.yaml").read_text(encoding="utf-8")
    entries = list((folder / "tensorboard").glob("configuration_*"))
    assert len(entries) == metrics["configurations"] == 5


def test_a_killed_search_goes_on_with_the_same_result(search_config, tmp_path, main):
    """`kill -9` in the middle of a trial: the table of an uninterrupted search."""
    whole = main("tune", "--config", search_config("whole", method="bayesian", trials=3))
    assert whole.returncode == 0, whole.stderr
    path = search_config("parts", method="bayesian", trials=3)
    command = [sys.executable, "main.py", "tune", "--config", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "parts/trials/trial_1/progress.json").is_file())
    process.kill()
    process.wait()
    again = main("tune", "--config", path)
    assert again.returncode == 0, again.stderr
    assert found(tmp_path / "whole") == found(tmp_path / "parts")


def test_workers_and_chief_may_die(search_config, tmp_path):
    """A worker and the chief are killed: they are replaced, no trial is lost or doubled, and the search ends."""
    path = search_config(trials=4)
    command = [sys.executable, "main.py", "tune", "--config", str(path), "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    trials = tmp_path / "search" / "trials"
    wait_for(lambda: (trials / "trial_1/progress.json").is_file())
    kill("worker", "worker0")
    wait_for(lambda: (trials / "trial_2/progress.json").is_file())
    kill("chief", "chief")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert output.count("it is started again") == 2
    rows = results(tmp_path / "search")
    assert [row["trial"] for row in rows] == [str(index) for index in range(4)]
    assert {row["status"] for row in rows} == {"COMPLETED"}
    for row in rows:
        curve = json.loads((trials / f"trial_{row['trial']}" / "progress.json").read_text(encoding="utf-8"))["curve"]
        assert [entry["epoch"] for entry in curve] == [1, 2]
        steps = json.loads((trials / f"trial_{row['trial']}" / "trial.json").read_text(encoding="utf-8"))
        observed = steps["metrics"]["metrics"]["validation_dice"]["observations"]
        assert [item["step"] for item in observed] == [1, 2]
        assert all(len(item["value"]) == 1 for item in observed)


def test_chief_and_workers_over_several_machines(search_config, tmp_path, main):
    """One command each, here on loopback; a worker that is not replaced loses its trial to the other."""
    path = search_config(trials=2, lease_seconds=8)
    address = ["--address", "127.0.0.1:47913"]
    command = [sys.executable, "main.py", "tune"]
    common = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    chief = subprocess.Popen([*command, "chief", "--config", str(path), *address], **common)
    wait_for(lambda: (tmp_path / "search/trials/search.json").is_file())
    named = [*command, "worker", "--config", str(path), *address, "--name"]
    doomed = subprocess.Popen([*named, "doomed"], **common)
    wait_for(lambda: (tmp_path / "search/trials/trial_0/trial.json").is_file())
    doomed.kill()
    other = subprocess.Popen([*named, "other"], **common)
    for process in (other, chief):
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    doomed.communicate()
    assert [row["status"] for row in results(tmp_path / "search")] == ["COMPLETED"] * 2
    second = main("tune", "worker", "--config", path)
    assert second.returncode == 2
    assert "--address HOST:PORT" in second.stderr


BAD = {
    "unknown key": ({"space": {"network.unit": {"low": 1, "high": 4}}}, "did you mean 'units'?"),
    "wrong value": ({"space": {"training.learning_rate": {"low": -2, "high": -1}}}, "learning_rate"),
    "both": ({"space": {"network.units": {"low": 1, "high": 4, "choices": [1]}}}, "low and high, or choices"),
    "backwards": ({"space": {"network.units": {"low": 4, "high": 1}}}, "low must be below high"),
    "frozen": ({"space": {"data.pairs": {"low": 1, "high": 4}}}, "'data' cannot be searched"),
    "endless": ({"trials": None}, "needs search.trials"),
    "objective": ({"objective": "val_loss"}, "'val_loss' is not reported; known: loss, validation_dice"),
    "no space": ({"space": {}}, "search.space"),
    "part of an epoch": ({"budget": 1e-320}, "budget: 9.99989e-321 epochs; a whole number, or unit: seconds"),
    "two and a half epochs": ({"budget": 2.5}, "budget: 2.5 epochs"),
    "a part at least": ({"min_budget": 0.5}, "min_budget: 0.5 epochs"),
    "least above most": ({"method": "hyperband", "budget": 3, "min_budget": 4}, "min_budget: 4 is above budget: 3"),
    "least above all": ({"method": "hyperband", "min_budget": 4}, "above the 2 of training.epochs"),
    "seconds": ({"unit": "seconds", "method": "hyperband"}, "search.budget: missing"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_what_is_wrong_is_said(kind, search_config, tmp_path, main):
    """One line, exit code 2, before a minute of training."""
    search, message = BAD[kind]
    path = search_config(**search)
    assert main("tune", "--config", path, "--dry-run").returncode == 2
    done = main("tune", "--config", path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "search" / "trials").exists()


def test_a_damaged_search_is_refused(search_config, tmp_path, main):
    """A state that cannot be read must not be taken for an empty one and overwritten."""
    path = search_config(trials=1)
    assert main("tune", "status", "--config", path).returncode == 2
    assert main("tune", "--config", path).returncode == 0
    state = tmp_path / "search" / "trials" / "oracle.json"
    state.write_text(state.read_text(encoding="utf-8")[:100])
    done = main("tune", "--config", path, "--set", "search.trials=2")
    assert done.returncode == 2
    assert "state is damaged" in done.stderr
    assert len(state.read_text(encoding="utf-8")) == 100


def wait_for(there, seconds=120):
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def kill(role, name):
    """`kill -9` of a search's process."""
    listed = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True).stdout
    for line in listed.splitlines():
        if f"main.py tune {role} " in line and line.endswith(f"--name {name}"):
            os.kill(int(line.split()[0]), signal.SIGKILL)
            return
    raise AssertionError(f"no process {name}")


def test_bounds_of_random_search_in_a_space(search_config, main):
    """The thesis' table 2.2 for this very space: a small space needs fewer draws, which do not repeat."""
    space = {"network.units": {"choices": list(range(1, 101))}}
    done = main("tune", "bounds", "--config", search_config(space=space, trials=20))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "100 configurations" in lines[0]
    # 1 good of 100: half of the space for an even chance, 95 or 99 draws and one for more than that
    assert next(line for line in lines if line.startswith("best 1%")).split()[2:] == ["51", "96", "100"]
    assert "best 1% 20%" in lines[-2]
    endless = main("tune", "bounds", "--config", search_config())
    assert endless.stdout.splitlines()[3].split()[2:] == ["69", "299", "459"]


@pytest.mark.parametrize("kernel", ["matern_3_2", "squared_exponential"])
def test_kernel_and_marginalisation_are_keys(search_config, kernel):
    """What the thesis compares must be reachable from a config."""
    from app.config import load_config
    from app.tasks.tune import make_oracle
    from app.tuning.config import TuneConfig

    search = load_config(TuneConfig, search_config(method="bayesian", kernel=kernel, marginalise=3))
    surrogate = make_oracle(search, search.base()).surrogate
    assert (surrogate.kernel.shape, surrogate.marginalise) == (kernel, 3)


def test_an_unknown_kernel_is_refused(search_config, main):
    """A typo must not become the default."""
    done = main("tune", "--config", search_config(kernel="materm"))
    assert done.returncode == 2
    assert "search.kernel" in done.stderr


def test_a_search_whose_trials_all_fail_is_no_success(search_config, tmp_path, main):
    """Exit code 0, tracebacks and no best config: a script would have gone on with nothing."""
    space = {"training.learning_rate": {"choices": [1e30, 1e35]}}
    done = main("tune", "--config", search_config(objective="loss", direction="min", trials=2, space=space))
    assert done.returncode == 2, done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "all trials failed, 2 of them with:" in line
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.count(" failed: ") == 2
    for name in "01":
        entry = EventAccumulator(str(tmp_path / "search" / "tensorboard" / f"configuration_{name}")).Reload()
        content = entry.summary_metadata["_hparams_/session_start_info"]
        start = metadata.parse_session_start_info_plugin_data(content.plugin_data.content)
        reason = start.hparams["failed_because"].string_value
        assert "loss became" in reason or "NaN or infinite" in reason
