"""SIGTERM and Ctrl-C at any moment: a line, exit code 2, and nothing left running or locked."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUSY = """
import hashlib, sys, time
sys.path.insert(0, {root!r})
from app.signals import end_on_signals
from app.training.run_lock import lock_folder
import subprocess
end_on_signals()
lock_folder({folder!r})
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
if {within_c}:  # one instruction that lasts for minutes
    hashlib.pbkdf2_hmac("sha512", b"", b"", 10**9)
try:
    time.sleep(600)
finally:
    while True:
        time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("within_c", [True, False])
def test_who_cannot_listen_is_ended(tmp_path, number, within_c):
    """A step of TensorFlow, or a cleaning up that hangs, would leave a cluster's job to SIGKILL and its lock behind."""
    code = BUSY.format(root=str(ROOT), folder=str(tmp_path / "run"), within_c=within_c)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    child = int(process.stdout.readline())
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert (
        errors.strip().splitlines()[-1]
        == "error: interrupted; rerun the same command to resume from the last checkpoint"
    )
    assert not (tmp_path / "run" / "run.lock").exists()
    stat = Path(f"/proc/{child}/stat")
    for _ in range(200):  # the system takes its time to bury it
        if not stat.exists() or stat.read_text(encoding="utf-8").split()[2] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("its child goes on")


def test_an_interrupt_that_python_loses_prints_nothing():
    """Within a weak reference's callback Ctrl-C is swallowed, and a traceback printed in front of our line."""
    code = (
        "from app.signals import end_on_signals; end_on_signals()\n"
        "class Gone:\n"
        "    def __init__(self, error): self.error = error\n"
        "    def __del__(self): raise self.error\n"
        "Gone(KeyboardInterrupt()); Gone(ValueError('still said'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "KeyboardInterrupt" not in done.stderr
    assert "still said" in done.stderr


@pytest.mark.parametrize("moment", ["importing", "training"])
def test_a_command_is_ended_like_by_control_c(small_config, tmp_path, moment):
    """A scheduler sends SIGTERM; the user is to read what to do, not a traceback."""
    command = [sys.executable, "-u", "main.py", "hypermorph", "--config", str(small_config)]
    command += ["--set", f"output={tmp_path / 'run'}", "--set", "training.epochs=1000"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if moment == "training":
        while "epoch 2/" not in process.stdout.readline():
            assert process.poll() is None
    else:
        loaded = Path(f"/proc/{process.pid}/maps")
        while "tensorflow" not in loaded.read_text(encoding="utf-8"):
            assert process.poll() is None
            time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert (
        errors.strip().splitlines()[-1]
        == "error: interrupted; rerun the same command to resume from the last checkpoint"
    )
    assert "Traceback" not in errors
    assert not list((tmp_path / "run").glob("*.lock")) if (tmp_path / "run").exists() else True
