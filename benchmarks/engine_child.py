"""One side of `benchmarks.engine`, in a process of its own: registers pairs, writes displacements in voxels.

Arguments: side (`ours` or `greedy`), setting, threads, folder of results. Pairs, as lines `moving fixed name` of paths,
come by standard input; a line of JSON per pair goes to standard output.
"""

import importlib
import io
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main():
    side, setting, threads, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    register = {"ours": ours, "greedy": greedy}[side](setting, threads)
    for number, line in enumerate(sys.stdin.read().splitlines()):
        moving, fixed, name = line.split()
        if number == 0:  # compiles; its time is reported apart
            first = timed(register, moving, fixed)[1]
        displacement, row = timed(register, moving, fixed)
        np.save(folder / f"{name}.npy", displacement.astype("float32"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            json.dumps({"name": name, **row, "first_cpu_seconds": first["cpu_seconds"], "peak_gib": peak}), flush=True
        )


def timed(register, moving, fixed):
    """A registration and what it took, reading of the files included."""
    cpu, wall = time.process_time(), time.perf_counter()
    displacement = register(moving, fixed)
    return displacement, {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}


def ours(preset, threads):
    importlib.import_module("nets")  # sets up TensorFlow before it is imported
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    from app.data.read import read_volume
    from nets.registration.engine.deformable import register_pairs
    from nets.registration.engine.method import PRESETS, Method

    def image(path):
        return read_volume(path).array[None, ..., None].astype("float32") / 255.0

    return lambda moving, fixed: np.asarray(register_pairs(image(moving), image(fixed), Method(PRESETS[preset])))[0]


def greedy(setting, threads):
    import nibabel
    from picsl_greedy import Greedy3D

    def register(moving, fixed):
        with tempfile.TemporaryDirectory() as folder:
            warp = f"{folder}/warp.nii.gz"
            Greedy3D().execute(f"-i {fixed} {moving} {setting} -threads {threads} -o {warp}", io.StringIO())
            vectors = np.asarray(nibabel.load(warp).dataobj).squeeze()
        spacing = np.array(nibabel.load(fixed).header.get_zooms()[:3])
        return vectors * [-1.0, -1.0, 1.0] / spacing  # LPS millimetres to voxels of images whose axes are RAS

    return register


if __name__ == "__main__":
    main()
