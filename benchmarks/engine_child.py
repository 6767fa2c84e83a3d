"""One side of `benchmarks.engine`, in a process of its own: registers pairs, writes displacements in voxels.

Arguments: side, setting, threads, folder of results. Pairs, as lines `moving fixed name` of paths,
come by standard input; a line of JSON per pair goes to standard output.
"""

import importlib
import io
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main():
    side, setting, threads, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    register = SIDES[side](setting, threads)
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
    tensorflow_threads(threads)
    from nets.registration.engine.deformable import register_pairs
    from nets.registration.engine.method import PRESETS, Method

    def register(moving, fixed):
        return np.asarray(register_pairs(image(moving)[None], image(fixed)[None], Method(PRESETS[preset])))[0]

    return register


def network(setting, threads):
    """Setting: a run folder, and iterations by which the answer is improved, 0 for none."""
    tensorflow_threads(threads)
    from app.systems.opened import open_run
    from app.systems.registration.engine import EngineRegistrar, RefinedRegistrar
    from nets.registration.engine.method import PRESETS, Method, refining

    run, iterations = setting.rsplit(" ", 1)
    trained = open_run(run)
    registrar, hyper = trained.predictor(trained.config()), trained.contract.hyper_vector({})
    if int(iterations):
        method = Method(refining(PRESETS["default"], int(iterations)))
        registrar = RefinedRegistrar(registrar, EngineRegistrar(method))
    return lambda moving, fixed: registrar(image(moving), image(fixed), hyper).displacement


def tensorflow_threads(threads):
    importlib.import_module("nets")  # sets up TensorFlow before it is imported
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def image(path):
    from app.data.read import read_volume

    return read_volume(path).array[..., None].astype("float32") / 255.0


def greedy(setting, threads):
    from picsl_greedy import Greedy3D

    def register(moving, fixed):
        with tempfile.TemporaryDirectory() as folder:
            warp = f"{folder}/warp.nii.gz"
            Greedy3D().execute(f"-i {fixed} {moving} {setting} -threads {threads} -o {warp}", io.StringIO())
            return in_voxels(warp, fixed)

    return register


def ants(setting, threads):
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    import ants

    def register(moving, fixed):
        with tempfile.TemporaryDirectory() as folder:
            images = [ants.image_read(path) for path in (fixed, moving)]
            result = ants.registration(*images, "SyNOnly", outprefix=f"{folder}/", **json.loads(setting))
            return in_voxels(result["fwdtransforms"][0], fixed)

    return register


def elastix(setting, threads):
    import itk

    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
    options = json.loads(setting)
    parameters = itk.ParameterObject.New()
    chosen = parameters.GetDefaultParameterMap("bspline", options.pop("resolutions"), options.pop("spacing_mm"))
    parameters.AddParameterMap({**dict(chosen), **{name: str(value).split() for name, value in options.items()}})

    def register(moving, fixed):
        images = [itk.imread(path, itk.F) for path in (fixed, moving)]
        _, transform = itk.elastix_registration_method(*images, parameter_object=parameters, number_of_threads=threads)
        with tempfile.TemporaryDirectory() as folder:
            vectors = itk.transformix_deformation_field(images[1], transform, output_directory=folder)
            itk.imwrite(vectors, f"{folder}/warp.nii.gz")
            return in_voxels(f"{folder}/warp.nii.gz", fixed)

    return register


def in_voxels(warp, fixed):
    """ITK's field, millimetres on LPS axes, in voxels of images whose axes are RAS."""
    import nibabel

    vectors = np.asarray(nibabel.load(warp).dataobj).squeeze()
    return vectors * [-1.0, -1.0, 1.0] / np.array(nibabel.load(fixed).header.get_zooms()[:3])


SIDES = {"ours": ours, "network": network, "greedy": greedy, "ants": ants, "elastix": elastix}


if __name__ == "__main__":
    main()
