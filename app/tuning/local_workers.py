"""A chief and workers on one machine: started, watched, replaced when they die."""

import functools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from app.errors import UserError
from app.training.run_folder import log

MOST_RESTARTS = 20
ROOT = Path(__file__).resolve().parents[2]


def run_local(config_file, folder, workers):
    """Search with a chief and workers in processes of their own, until the chief says it is over.

    A process that dies is replaced, and its work is resumed. On a machine with several
    GPUs each worker gets one in turn.

    Args:
        config_file: Config of the search.
        folder: Where the output of each process goes, a file each; the chief's is printed too.
        workers: Number of workers.

    Raises:
        UserError: If a process dies again and again.
    """
    address = f"127.0.0.1:{_free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    gpus = _gpus()

    start = functools.partial(_start, config_file, folder, address)
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    plan = {"chief": ("chief", {"CUDA_VISIBLE_DEVICES": "-1"})}
    for index in range(workers):
        environment = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        plan[f"worker{index}"] = ("worker", environment)
    log(f"chief and {workers} workers on {address}; their output is in {folder}")
    _watch(plan, start, folder)


def _start(config_file, folder, address, name, role, environment):
    command = [sys.executable, str(ROOT / "main.py"), "tune", role, "--config", str(config_file)]
    command += ["--address", address, "--name", name]
    environment = {**os.environ, **environment, "KERASMORPH_PARENT": str(os.getpid())}
    with open(folder / f"{name}.txt", "a") as output:
        if role == "worker":
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)
    threading.Thread(target=_relay, args=(process.stdout, folder / f"{name}.txt"), daemon=True).start()
    return process


def _watch(plan, start, folder):
    """Run what is planned until the chief has ended; processes that die are replaced."""
    running, restarts = {name: start(name, *how) for name, how in plan.items()}, 0
    try:
        while running:
            time.sleep(0.3)
            for name, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[name]
                if code == 0:
                    continue
                restarts += 1
                if code == 2 or restarts > MOST_RESTARTS:
                    raise UserError(_last_error(folder / f"{name}.txt", name, code))
                log(f"{name} ended with code {code}; it is started again")
                running[name] = start(name, *plan[name])
            if "chief" not in running:
                _wait(running)
    finally:
        for process in running.values():
            process.terminate()
        _wait(running)


def _relay(lines, path):
    """The chief reports the progress of the search: to the terminal, and into its file."""
    with open(path, "a", buffering=1) as file:
        for line in lines:
            file.write(line)
            if not line.startswith("error: "):  # the watching process says it itself
                print(line, end="", flush=True)


def _wait(running, seconds=15.0):
    until = time.monotonic() + seconds
    for process in running.values():
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    running.clear()


def _last_error(path, name, code):
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.startswith("error: ")]
    return lines[-1].removeprefix("error: ") if lines else f"{name} ended with code {code}; see {path}"


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _gpus():
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    return [str(index) for index, line in enumerate(listed.splitlines()) if line.startswith("GPU")]
