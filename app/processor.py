"""The processor: its name and vector width, and what makes TensorFlow slow on it."""

import os
import platform
from importlib import metadata
from pathlib import Path

AVX2_ALONE = "AVX2"


def processor():
    """The processor's name, and the widest vectors that TensorFlow's kernels may use on it.

    Returns:
        Dict of `processor` and `vectors`, "AVX-512", "AVX2", or what else the machine has.
    """
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    return {"processor": name, "vectors": _vectors()}


def _vectors():
    import numpy as np

    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    known = {*extensions["baseline"], *extensions.get("found", ())}
    if known & {"X86_V4", "AVX512F", "AVX512_SKX"}:
        # Stands for a processor without AVX-512 in measurements.
        return AVX2_ALONE if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2" else "AVX-512"
    if known & {"X86_V3", "AVX2"}:
        return AVX2_ALONE
    return "SSE" if platform.machine() in ("x86_64", "AMD64") else platform.machine()


def cores():
    """How many cores this process may use, which containers and schedulers make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def onednn_state():
    """Whether TensorFlow computes with oneDNN: "on" or "off".

    TensorFlow reads the variable that `nets.onednn` sets; its own default is never reached.
    """
    return "off" if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false") else "on"


def slow_precision(precision):
    """What there is to say of a network's precision on this processor.

    Args:
        precision: "float32", "bfloat16", or None for that of training.

    Returns:
        A line where it makes the network many times slower, or None.
    """
    if precision != "bfloat16" or processor()["vectors"] == "AVX-512":
        return None
    return (
        "note: bfloat16 is many times slower than float32 on a processor without AVX-512; where no GPU computes, "
        "set precision: float32"
    )


def slow_settings():
    """Settings of this process that make the machine slower than it is.

    Returns:
        List of lines: what is set, and what to do.
    """
    lines = []
    if onednn_state() == "off":
        value = os.environ["TF_ENABLE_ONEDNN_OPTS"]
        lines.append(f"TF_ENABLE_ONEDNN_OPTS={value}: 3D convolutions are several times slower; unset it")
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    if isa not in ("ALL", "DEFAULT") and not isa.startswith("AVX10") and "AVX512_CORE" not in isa:
        lines.append(f"ONEDNN_MAX_CPU_ISA={isa}: wider vectors of the processor are not used; unset it")
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and 0 < int(value) < cores():
            lines.append(f"{name}={value}: fewer threads than the {cores()} cores; unset it")
    if cores() < (os.cpu_count() or 1):
        lines.append(f"this process may use {cores()} of the {os.cpu_count()} cores; ask the scheduler for more")
    return lines


PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "nibabel", "SimpleITK", "pydantic", "matplotlib")


def environment():
    """Versions and machine, for the run folder and the doctor.

    Returns:
        Dict of strings and numbers.
    """
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        **processor(),
        "cores": cores(),
        "oneDNN": onednn_state(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "packages": versions,
    }
