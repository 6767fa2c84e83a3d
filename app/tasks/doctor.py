"""Task `doctor`: versions, processor, devices, memory, and whether the data folder is found."""

import os
import shutil
from pathlib import Path

from app.processor import cores, environment, slow_settings
from app.quiet import import_keras


def data_folder():
    """Where the development data are looked for.

    Returns:
        Path: `KERASMORPH_DATA`, or `../shared/data` beside the project.
    """
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("KERASMORPH_DATA", beside))


def run():
    """Print one fact a line."""
    facts = environment()
    for name in ("python", "system", "processor", "vectors", "cores", "oneDNN", "backend"):
        print(f"{name}: {facts[name]}")
    for name, version in facts["packages"].items():
        print(f"{name}: {version or 'NOT INSTALLED; run make install'}")
    print(f"memory: {_memory()}")
    print(f"disk free here: {shutil.disk_usage('.').free / 2**30:.0f} GiB")
    folder = data_folder()
    hint = "" if folder.is_dir() else " (only the tests on real data need it; KERASMORPH_DATA names another place)"
    print(f"data folder: {folder}: {'found' if folder.is_dir() else 'not found'}{hint}")
    print(f"devices: {_devices()}")
    print(f"threads: {_threads()}")
    for line in slow_settings():
        print(f"warning: {line}")


def _memory():
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES") * size
    except (ValueError, OSError):
        return "unknown"
    return f"{pages * size / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free"


def _threads():
    """TensorFlow's own choice is one an operation for each core, and as many operations at once."""
    try:
        import tensorflow as tf
    except ImportError:
        return "unknown"
    chosen = tf.config.threading
    within, between = chosen.get_intra_op_parallelism_threads(), chosen.get_inter_op_parallelism_threads()
    within = within or os.environ.get("TF_NUM_INTRAOP_THREADS") or cores()
    return f"{within} an operation, {between or os.environ.get('TF_NUM_INTEROP_THREADS') or cores()} operations at once"


def _devices():
    try:
        import_keras()
        import tensorflow as tf
    except ImportError as error:
        return f"TensorFlow cannot be imported ({error}); run make install"
    return ", ".join(f"{device.device_type} {device.name}" for device in tf.config.list_physical_devices())
