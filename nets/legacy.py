"""Official VoxelMorph (TensorFlow) models: their constructor's options, their network, their weights."""

import dataclasses
import math

import keras
from keras import layers, ops

from nets.layers import (
    ConvUpsampled,
    CropLike,
    HyperConvFull,
    IntegrateVelocity,
    PadToMultiple,
    ResizeField,
    SpatialTransformer,
)
from nets.legacy_architecture import Architecture
from nets.precision import layers_in
from nets.registration.hyper_parameter import HyperParameter
from nets.registration.objective import Objective
from nets.registration.voxelmorph import RegistrationModel, image_input
from nets.unet import unet


@keras.saving.register_keras_serializable(package="kerasmorph")
class OfficialVoxelMorph(RegistrationModel):
    """The network of VoxelMorph 0.2's `VxmDense` or `HyperVxmDense`, layer for layer.

    Any image size is accepted; at sizes that the original accepts the answers are its own.
    Where the original draws the velocity from a distribution, its mean is taken.

    Args:
        architecture: `Architecture`, or the dict of its arguments.
        hyper: `HyperParameter`s, or dicts of their arguments, one a column of the `hyper`
            input; lambda by default where there is one.
        objective: `Objective` for further training, or the dict of its arguments.
        precision: "float32", or "bfloat16" for the convolutions alone.

    Input shape:
        Dict: `moving`, `fixed`, tensors `(batch, i, j[, k], 1)`, and `hyper` where the
        original has a hypernetwork.

    Output shape:
        Dict: `moved`, `displacement`, `velocity` (before integration); `moved_fixed` and
        `inverse_displacement` where it is bidirectional, `log_variance` where probabilistic.

    Raises:
        ValueError: If the hyper-parameters are not as many as the architecture has.

    Example:

    >>> model = OfficialVoxelMorph(read_architecture("VxmDense", config))
    >>> load_official_weights(model, weights)

    Reference:
        - Balakrishnan et al., VoxelMorph, 2019; Hoopes et al., HyperMorph, 2021.
    """

    def __init__(self, architecture, hyper=None, objective=None, precision="float32", **kwargs):
        a = Architecture(**architecture) if isinstance(architecture, dict) else architecture
        given = [{"name": "lambda"}] if hyper is None and a.hyper == 1 else hyper or []
        hyper = [HyperParameter(**parameter) if isinstance(parameter, dict) else parameter for parameter in given]
        if len(hyper) != a.hyper:
            raise ValueError(f"The model has {a.hyper} hyper-parameters. Received: {[each.name for each in hyper]}")
        with layers_in(precision):
            inputs = {name: image_input(len(a.shape), name) for name in ("moving", "fixed")}
            conditioning = None
            if a.hyper:
                conditioning = inputs["hyper"] = keras.Input(shape=(a.hyper,), name="hyper")
                for layer in range(a.hyper_depth):
                    conditioning = layers.Dense(a.hyper_units, activation="relu", name=f"hyper_{layer}")(conditioning)
            super().__init__(inputs=inputs, outputs=_graph(a, inputs, conditioning), **kwargs)
        self.architecture = a
        self.precision = precision
        self.hyper_parameters = tuple(hyper)
        self.prepare_training(Objective(**objective) if isinstance(objective, dict) else objective or Objective())

    def get_config(self):
        return {
            "architecture": dataclasses.asdict(self.architecture),
            "hyper": [dataclasses.asdict(hyper) for hyper in self.hyper_parameters],
            "objective": dataclasses.asdict(self.objective),
            "precision": self.precision,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _graph(a, inputs, conditioning):
    rank = len(a.shape)
    plain = (layers.Conv2D, layers.Conv3D)[rank - 2]

    def convolve(x, filters, name, kernel_initializer="he_normal"):
        if conditioning is None and isinstance(x, list):
            return ConvUpsampled(filters, kernel_initializer=kernel_initializer, name=name)(*x)
        if conditioning is None:
            return plain(filters, 3, padding="same", kernel_initializer=kernel_initializer, name=name)(x)
        return HyperConvFull(filters, kernel_initializer=kernel_initializer, name=name)(x, conditioning)

    def last(name, stddev, bias):
        # Never generated, in the original either; named by what it predicts.
        start = {
            "kernel_initializer": keras.initializers.RandomNormal(stddev=stddev),
            "bias_initializer": keras.initializers.Constant(bias),
        }
        return plain(rank, 3, padding="same", name=name, dtype="float32", **start)

    x = layers.Concatenate(name="pair")([inputs["moving"], inputs["fixed"]])
    x = PadToMultiple(2 ** len(a.encoder), name="pad")(x)
    x = unet(x, convolve, a.encoder, a.decoder, a.final, a.velocity_resolution)
    velocity = last("velocity_conv", 1e-5, 0.0)(x)
    outputs = {}
    if a.probabilistic:
        outputs["log_variance"] = last("log_variance_conv", 1e-10, -10.0)(x)
    velocity = ResizeField(a.velocity_resolution / a.integration_resolution, name="velocity")(velocity)

    def follow(velocity, image, prefix):
        field = IntegrateVelocity(a.integration_steps, name=f"{prefix}integrate")(velocity)
        if a.integration_steps:
            field = ResizeField(a.integration_resolution, name=f"{prefix}resize")(field)
        field = CropLike(name=f"{prefix}displacement", dtype="float32")(field, image)
        return field, SpatialTransformer(fill_value=a.fill_value, name=f"{prefix}moved")(image, field)

    outputs["velocity"] = velocity
    outputs["displacement"], outputs["moved"] = follow(velocity, inputs["moving"], "")
    if a.bidirectional:
        back = layers.Rescaling(-1.0, name="negative_velocity", dtype="float32")(velocity)
        outputs["inverse_displacement"], outputs["moved_fixed"] = follow(back, inputs["fixed"], "inverse_")
    return outputs


def official_names(architecture):
    """Name of each of our layers that has weights, and the end of the original's name for it.

    Args:
        architecture: `Architecture`.

    Returns:
        Dict of strings.
    """
    a = architecture
    names = {f"hyper_{layer}": f"hyp_dense_{layer + 1}" for layer in range(a.hyper_depth if a.hyper else 0)}
    for part, short, widths in (("encoder", "enc", a.encoder), ("decoder", "dec", a.decoder[::-1])):
        for level, level_widths in enumerate(widths):
            for index in range(len(level_widths)):
                ours = f"{part}_{level}" if len(level_widths) == 1 else f"{part}_{level}_{index}"
                names[ours] = f"unet_{short}_conv_{level}_{index}"
    names |= {f"final_{index}": f"unet_dec_final_conv_{index}" for index in range(len(a.final))}
    names["velocity_conv"] = "flow"
    return names | ({"log_variance_conv": "log_sigma"} if a.probabilistic else {})


def load_official_weights(model, weights):
    """Put an official file's weights into the model.

    Args:
        model: `OfficialVoxelMorph`.
        weights: Dict from the original's layer name to a dict from weight name to array.

    Raises:
        ValueError: If a layer is missing, a shape differs or a layer with weights is left
            over; all such are named.
    """
    problems, used = [], set()
    for ours, end in official_names(model.architecture).items():
        names = [name for name in weights if name == end or name.endswith(f"_{end}")]
        if len(names) != 1:
            problems.append(f"layer *_{end}: {len(names)} in the file")
            continue
        used.update(names)
        try:
            _assign(model.get_layer(ours), weights[names[0]])
        except (KeyError, ValueError) as error:
            problems.append(f"layer {names[0]}: {error}")
    problems += [f"layer {name}: no place for it" for name in sorted(set(weights) - used)]
    if problems:
        raise ValueError("; ".join(problems))


def _assign(layer, arrays):
    if isinstance(layer, HyperConvFull):
        pairs = {
            "hyperkernel_bias": layer.kernel,
            "hyperkernel_kernel": layer.projection,
            "hyperbias_bias": layer.bias,
            "hyperbias_kernel": layer.shift,
        }
    else:
        pairs = {"kernel": layer.kernel, "bias": layer.bias}
    for name, variable in pairs.items():
        if name not in arrays:
            raise ValueError(f"has {', '.join(sorted(arrays))} but no {name}")
        array = arrays[name]
        same = math.prod(array.shape) == math.prod(variable.shape)
        if not same or (array.shape != tuple(variable.shape) and name != "hyperkernel_bias"):
            raise ValueError(f"{name} has shape {array.shape}, expected {tuple(variable.shape)}")
        variable.assign(ops.reshape(array, variable.shape))
