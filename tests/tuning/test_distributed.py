"""Chief and workers: who is let in, whose reports count, and what is said of a port or a chief that is not there."""

import contextlib
import logging
import math
import os
import socket
import stat
import threading
import time

import keras_tuner as kt
import pytest

from app.errors import UserError
from app.tuning import distributed
from app.tuning.distributed import PatientOracle, make_token, serve
from app.tuning.plain_oracles import RandomOracle
from tests.tuning.searching import small_space


@pytest.fixture
def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number = listener.getsockname()[1]
    return number


@pytest.fixture
def oracle(tmp_path):
    """A random search of three trials."""
    found = RandomOracle(objective=kt.Objective("loss", "min"), max_trials=3, hyperparameters=small_space(), seed=0)
    found._set_project_dir(str(tmp_path), "search")
    found.verbose = 0
    return found


@pytest.fixture
def worker(oracle, port, tmp_path, monkeypatch):
    """A chief that listens; `(name, token=None) -> client`, each a worker with the search's token or another."""
    variables = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    variables["KERASMORPH_TOKEN_FILE"] = str(tmp_path / "search.token")
    for name, value in {**variables, "KERASTUNER_TUNER_ID": "chief"}.items():
        monkeypatch.setenv(name, value)
    make_token(tmp_path / "search.token")
    chief = threading.Thread(target=serve, args=(oracle, 2.0), daemon=True)
    chief.start()
    for _ in range(600):  # it reads its token as it begins to listen
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)

    def client(name, token=None):
        monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
        if token is not None:
            (tmp_path / "other.token").write_text(token)
            monkeypatch.setenv("KERASMORPH_TOKEN_FILE", str(tmp_path / "other.token"))
        return PatientOracle(oracle, patience_seconds=20.0)

    yield client
    chief.join(60)
    assert not chief.is_alive()


def test_a_token_is_its_owners(tmp_path):
    """Whoever can read it takes part in the search; a second chief must not lock its workers out."""
    path = tmp_path / "search.token"
    make_token(path)
    first = path.read_text(encoding="utf-8")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert len(first) == 64
    make_token(path)
    assert path.read_text(encoding="utf-8") == first


@pytest.mark.parametrize("token", ["", "0" * 64, "x"])
def test_who_does_not_know_the_token_is_not_answered(worker, oracle, token):
    """Anybody in the network could end the search, or feed it results."""
    with pytest.raises(UserError, match="does not know the token"):
        worker("stranger", token).create_trial("stranger")
    assert not oracle.trials


def test_reports_count_of_ones_own_trial_alone(worker, oracle, caplog):
    """A worker that was taken for dead comes back: its trial is another's, who reports other numbers."""
    caplog.set_level(logging.INFO, "kerasmorph")
    mine = worker("a").create_trial("a")
    other = worker("b")
    other.update_trial(mine.trial_id, {"loss": 0.0}, step=1)
    mine.status = "COMPLETED"
    other.end_trial(mine)
    assert "worker b reports of trial 0, which it does not hold" in caplog.text
    assert not oracle.trials[mine.trial_id].metrics.exists("loss")
    assert oracle.trials[mine.trial_id].status == "RUNNING"
    assert other.update_trial("77", {"loss": 0.0}, step=1).status == "STOPPED"
    own = worker("a")
    own.update_trial(mine.trial_id, {"loss": math.nan, "other": math.inf}, step=1)
    assert "loss is not finite in step 1" in caplog.text
    assert not oracle.trials[mine.trial_id].metrics.exists("loss")
    own.update_trial(mine.trial_id, {"loss": 0.25}, step=2)
    own.end_trial(mine)
    assert oracle.trials[mine.trial_id].score == 0.25


def test_a_worker_says_whom_it_waits_for_and_gives_up(oracle, port, tmp_path, monkeypatch, caplog):
    """Ninety silent seconds look like work."""
    caplog.set_level(logging.INFO, "kerasmorph")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "a")
    monkeypatch.setattr(distributed, "SAY_SECONDS", 0.2)
    for there in (False, True):  # before the chief has written its token, and after it died
        monkeypatch.setenv("KERASMORPH_TOKEN_FILE", str(tmp_path / "search.token"))
        if there:
            make_token(tmp_path / "search.token")
        with pytest.raises(UserError, match=f"no chief at 127.0.0.1:{port} for 1 s; start it"):
            PatientOracle(oracle, patience_seconds=1.0).create_trial("a")
        assert f"waiting for the chief at 127.0.0.1:{port}, since" in caplog.text
        caplog.clear()


def test_a_port_that_is_taken(oracle, port, tmp_path, monkeypatch):
    """It was 'our fault', with a traceback."""
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.delenv("KERASMORPH_TOKEN_FILE", raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(UserError, match=f"--address 127.0.0.1:{port}: cannot be listened on"):
            serve(oracle, 1.0)


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:-1", "127.0.0.1:http", ":80", "host"])
def test_ports_that_are_none(main, tmp_path, small_config, address):
    """99999 became 34463, where nobody would look for it."""
    config = tmp_path / "search.yaml"
    search = "search: {trials: 1, method: random, space: {network.units: {low: 2, high: 8}}}"
    config.write_text(f"{small_config.read_text(encoding='utf-8')}\n{search}\n")
    done = main("tune", "chief", "--config", config, "--address", address, "--set", f"output={tmp_path / 'o'}")
    assert done.returncode == 2
    assert "a port from 1 to 65535" in done.stderr
    assert not (tmp_path / "o").exists()
