"""oneDNN is on before TensorFlow is loaded, and the doctor says what makes a machine slow."""

import os
import subprocess
import sys

import pytest

from app.processor import cores, processor, slow_precision, slow_settings
from tests.conftest import ROOT

PACKAGES = ("nets", "transfer", "segmentation", "app", "benchmarks")


def child(code, **variables):
    """What a fresh Python prints."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | variables
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_switches_onednn_on(package):
    """Without it every 3D convolution takes five times as long on a processor without AVX-512."""
    code = f"import os, sys, {package}; print(os.environ['TF_ENABLE_ONEDNN_OPTS'], 'tensorflow' in sys.modules)"
    assert child(code) == "1 False"


def test_the_users_own_choice_stands():
    """Who compares numbers with another machine's may want it off."""
    code = "import os, nets; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert child(code, TF_ENABLE_ONEDNN_OPTS="0") == "0"


def test_nothing_is_said_to_be_on_that_is_not():
    """TensorFlow reads the variable once: set after that, it would only look as if it were on."""
    code = "import os, sys; sys.modules['tensorflow'] = sys; import nets; print('TF_ENABLE_ONEDNN_OPTS' in os.environ)"
    assert child(code) == "False"


def test_doctor_names_processor_vectors_and_threads(main):
    """A slow training is looked into here first."""
    lines = dict(line.split(": ", 1) for line in main("doctor").stdout.splitlines())
    assert lines["processor"] == processor()["processor"]
    assert lines["vectors"] == processor()["vectors"]
    assert lines["oneDNN"] == "on"
    assert lines["cores"] == str(cores())
    assert "an operation" in lines["threads"]


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "0", "unset it"),
        ("ONEDNN_MAX_CPU_ISA", "SSE41", "wider vectors"),
        ("TF_NUM_INTRAOP_THREADS", "1", "fewer threads"),
        ("OMP_NUM_THREADS", "1", "fewer threads"),
    ],
)
def test_doctor_warns_of_slow_settings(monkeypatch, name, value, remedy):
    """A variable that a colleague set in the shell years ago must not stay unnoticed."""
    monkeypatch.setattr("app.processor.cores", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    for variable in ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    assert slow_settings() == []
    monkeypatch.setenv(name, value)
    (line,) = slow_settings()
    assert line.startswith(f"{name}={value}")
    assert remedy in line


def test_fewer_cores_than_the_machine_has_are_told(monkeypatch):
    """A scheduler that gives one core of sixteen explains a slow training."""
    monkeypatch.setattr("app.processor.cores", lambda: 1)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert any("1 of the 16 cores" in line for line in slow_settings())


def test_half_precision_is_no_trap(monkeypatch):
    """Without AVX-512 a pair in bfloat16 took thirty times as long, and nothing said why."""
    monkeypatch.setattr("app.processor._vectors", lambda: "AVX2")
    assert "float32" in slow_precision("bfloat16")
    assert slow_precision("float32") is None
    assert slow_precision(None) is None
    monkeypatch.setattr("app.processor._vectors", lambda: "AVX-512")
    assert slow_precision("bfloat16") is None
