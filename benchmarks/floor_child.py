"""One side of `benchmarks.floor` doing one job, timed: SIDE JOB REPEATS. Prints JSON.

Runs in a process of its own, some sides in another environment: nothing of `app` is imported.
"""

import inspect
import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
FULL, HALF = (160, 192, 224), (80, 96, 112)
CHANNELS = {"warp_1": 1, "warp_8": 8, "gradient_field": 1, "gradient_both": 1}
STEPS = {"step_small": (2, (48, 64, 48)), "step_large": (1, (80, 96, 80))}


def smooth_field(shape, size):
    """A smooth field of so many voxels' deviation."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(1)
    field = np.stack([gaussian_filter(rng.normal(size=shape), 6) for _ in shape], -1)
    return (size * field / field.std()).astype("float32")[None]


def volumes(shape, channels, number):
    """Random volumes, the same on every side."""
    rng = np.random.default_rng(0)
    return [rng.random((1, *shape, channels), dtype="float32") for _ in range(number)]


def training_batch(job):
    """Two images and lambda."""
    batch, shape = STEPS[job]
    rng = np.random.default_rng(0)
    x = {name: rng.random((batch, *shape, 1), dtype="float32") for name in ("moving", "fixed")}
    return {**x, "hyper": np.full((batch, 1), 0.3, "float32")}


def copy(job):
    """What the machine can move: a copy by as many threads as there are cores."""
    cores = os.cpu_count()
    source = [np.ones(64 << 20, "float32") for _ in range(cores)]
    target = [np.empty_like(case) for case in source]
    pool = ThreadPoolExecutor(cores)
    return lambda: list(pool.map(np.copyto, target, source)), lambda _: np.array(2.0 * cores * source[0].nbytes)


def tensorflow_job(job, sample, integrate):
    """Warps, gradients and integration of the two TensorFlow sides."""
    import tensorflow as tf

    if job == "integrate":
        velocity = tf.constant(smooth_field(HALF, 1.0))
        function = tf.function(integrate)
        return lambda: function(velocity), lambda y: y.numpy()
    volume, upstream = map(tf.constant, volumes(FULL, CHANNELS[job], 2))
    field = tf.constant(smooth_field(FULL, 2.0))
    if job.startswith("warp"):
        function = tf.function(sample)
        return lambda: function(volume, field), lambda y: y.numpy()

    @tf.function
    def gradient(volume, field):
        wanted = [field] if job == "gradient_field" else [volume, field]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            value = tf.reduce_sum(sample(volume, field) * upstream)
        return value, tape.gradient(value, wanted)

    return lambda: gradient(volume, field), lambda y: y[1][-1].numpy()


def ours(job, precision="float32", features="forces"):
    """This project, on TensorFlow."""
    if job in STEPS:
        import keras

        from nets.registration.hypermorph import HyperMorph

        model = HyperMorph(rank=3, features=features)
        model.compile(keras.optimizers.Adam(1e-4))
        x = training_batch(job)
        return lambda: model.train_on_batch(x), lambda y: np.array(model.count_params())
    if job == "pair":
        from nets.registration.voxelmorph import VoxelMorph

        model = VoxelMorph(rank=3, precision=precision)
        moving, fixed = volumes(FULL, 1, 2)
        return lambda: model.predict_on_batch({"moving": moving, "fixed": fixed}), lambda y: y["moved"]
    from nets.ops import integrate_velocity, sample

    return tensorflow_job(job, sample, integrate_velocity)


def voxelmorph_02(job):
    """The original, on TensorFlow's legacy Keras."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # neurite 0.2 calls what Python 3.11 removed.
    inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]
    import tensorflow as tf
    import voxelmorph as vxm

    if job in STEPS:
        from benchmarks.train_for_seconds import voxelmorph

        step, _, parameters = voxelmorph(STEPS[job][1], None, None, 1e-4)
        x = training_batch(job)
        return lambda: step(x), lambda y: np.array(parameters)
    if job == "pair":
        model = vxm.networks.VxmDense(FULL, svf_resolution=2, int_resolution=2)
        function = tf.function(lambda moving, fixed: model([moving, fixed], training=False))
        moving, fixed = volumes(FULL, 1, 2)
        return lambda: [y.numpy() for y in function(moving, fixed)], lambda y: y[0]
    transformer = vxm.layers.SpatialTransformer()
    integrator = vxm.layers.VecInt(method="ss", int_steps=7)
    return tensorflow_job(job, lambda volume, field: transformer([volume, field]), integrator)


def torch_job(job, sample, integrate):
    """Warps, gradients and integration of the PyTorch sides; channels first, as they want it."""
    import torch

    torch.set_num_threads(os.cpu_count())

    def tensor(array):
        return torch.tensor(np.ascontiguousarray(np.moveaxis(array, -1, 1)))

    if job == "integrate":
        velocity = tensor(smooth_field(HALF, 1.0))

        def run():
            with torch.no_grad():
                return integrate(velocity)

        return run, lambda y: np.moveaxis(y.numpy(), 1, -1)
    volume, upstream = map(tensor, volumes(FULL, CHANNELS[job], 2))
    field = tensor(smooth_field(FULL, 2.0))
    if job.startswith("warp"):

        def run():
            with torch.no_grad():
                return sample(volume, field)

        return run, lambda y: np.moveaxis(y.numpy(), 1, -1)
    field.requires_grad_(True)
    volume.requires_grad_(job == "gradient_both")
    wanted = [field] if job == "gradient_field" else [volume, field]
    return (
        lambda: torch.autograd.grad((sample(volume, field) * upstream).sum(), wanted),
        lambda y: np.moveaxis(y[-1].numpy(), 1, -1),
    )


def grid_sample(job):
    """PyTorch's own function, and what turns a displacement in voxels into its grid."""
    import torch

    base = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in FULL), indexing="ij"))[None]
    scale = torch.tensor([2.0 / (n - 1) for n in FULL]).reshape(1, 3, 1, 1, 1)

    def sample(volume, field):
        grid = ((base + field) * scale - 1.0).flip(1).permute(0, 2, 3, 4, 1)
        options = {"mode": "bilinear", "padding_mode": "border", "align_corners": True}
        return torch.nn.functional.grid_sample(volume, grid, **options)

    return torch_job(job, sample, None)


def monai(job):
    """MONAI's Warp."""
    from monai.networks.blocks import Warp

    return torch_job(job, Warp(mode="bilinear", padding_mode="border"), None)


def voxelmorph_034(job):
    """VoxelMorph on PyTorch, with its own default network where a pair is registered."""
    import torch
    import voxelmorph as vxm

    if job == "pair":
        torch.set_num_threads(os.cpu_count())
        model = vxm.nn.models.VxmPairwise(3, 1, 1).eval()
        pair = [torch.tensor(np.moveaxis(array, -1, 1).copy()) for array in volumes(FULL, 1, 2)]

        def run():
            with torch.no_grad():
                return model(*pair, return_warped_source=True)

        return run, lambda y: np.moveaxis(y[1].numpy(), 1, -1)

    def sample(volume, field):
        return vxm.spatial_transform(volume, field, non_spatial_dims=(0, 1), padding_mode="border")

    return torch_job(job, sample, lambda v: vxm.integrate_vec(v, 7, non_spatial_dims=(0,)))


def scipy(job):
    """SciPy, one channel after another."""
    from scipy.ndimage import map_coordinates

    (volume,) = volumes(FULL, CHANNELS[job], 1)
    field = smooth_field(FULL, 2.0)[0]

    def run():
        grid = np.stack(np.meshgrid(*(np.arange(n, dtype="float32") for n in FULL), indexing="ij"))
        places = grid + np.moveaxis(field, -1, 0)
        channels = [
            map_coordinates(volume[0, ..., c], places, order=1, mode="nearest") for c in range(volume.shape[-1])
        ]
        return np.stack(channels, axis=-1)[None]

    return run, lambda y: y


def ours_jax(job):
    """This project on Keras' JAX backend: on a GPU where there is one."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    from nets.ops import integrate_velocity, sample

    if job == "copy":
        x = jax.numpy.ones(256 << 20, "float32")
        function = jax.jit(lambda x: x + 1.0)
        return lambda: function(x).block_until_ready(), lambda y: np.array(2.0 * x.nbytes)
    if job == "integrate":
        velocity = jax.numpy.asarray(smooth_field(HALF, 1.0))
        function = jax.jit(integrate_velocity)
        return lambda: function(velocity).block_until_ready(), np.asarray
    volume, upstream = map(jax.numpy.asarray, volumes(FULL, CHANNELS[job], 2))
    field = jax.numpy.asarray(smooth_field(FULL, 2.0))
    if job.startswith("warp"):
        function = jax.jit(sample)
        return lambda: function(volume, field).block_until_ready(), np.asarray
    places = (1,) if job == "gradient_field" else (0, 1)
    function = jax.jit(jax.value_and_grad(lambda v, u: (sample(v, u) * upstream).sum(), places))
    return lambda: jax.block_until_ready(function(volume, field)), lambda y: np.asarray(y[1][-1])


def ours_with(variable):
    """Ours, with one of TensorFlow's two thread pools of one thread."""

    def job_with(job):
        os.environ[variable] = "1"
        return ours(job)

    return job_with


SIDES = {
    "copy": copy,
    "ours": ours,
    "ours, one thread an operation": ours_with("TF_NUM_INTRAOP_THREADS"),
    "ours, one operation at a time": ours_with("TF_NUM_INTEROP_THREADS"),
    "ours, bfloat16": lambda job: ours(job, precision="bfloat16"),
    "ours, VoxelMorph's network": lambda job: ours(job, features="images"),
    "VoxelMorph 0.2": voxelmorph_02,
    "SciPy": scipy,
    "PyTorch grid_sample": grid_sample,
    "MONAI Warp": monai,
    "VoxelMorph 0.3.4": voxelmorph_034,
    "ours on JAX": ours_jax,
}


def device():
    """What the side ran on."""
    if "jax" in sys.modules:
        return sys.modules["jax"].devices()[0].device_kind
    return "cpu"


def main():
    side, job, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    run, answer = SIDES[side](job)
    for _ in range(2):  # the first call compiles
        result = run()
    seconds, began = [], time.process_time()
    for _ in range(repeats):
        started = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - started)
    spent = (time.process_time() - began) / repeats
    found = np.asarray(answer(result), "float64")
    row = {
        "seconds": seconds,
        "cpu_seconds": spent,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "mean": float(found.mean()),
        "deviation": float(found.std()),
        "device": device(),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
