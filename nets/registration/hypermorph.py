"""HyperMorph: one network for every value of the loss's hyper-parameters."""

import dataclasses

import keras

from nets import unet as widths
from nets.hypernetwork import Hypernetwork
from nets.layers import GENERATORS
from nets.precision import layers_in
from nets.registration.hyper_parameter import HyperParameter, check_names
from nets.registration.objective import Objective
from nets.registration.velocity import velocity_network
from nets.registration.voxelmorph import RegistrationModel, image_input, registration_outputs


@keras.saving.register_keras_serializable(package="kerasmorph")
class HyperMorph(RegistrationModel):
    """VoxelMorph whose convolutions are generated from hyper-parameters.

    Inputs `moving`, `fixed`, `hyper`; outputs `moved`, `displacement`, `velocity`. The same
    `hyper` values that generate the network weigh its loss (the paper's equation 1).

    Args:
        rank: 2 or 3.
        hyper: `HyperParameter`s, or dicts of their arguments, in the order of the columns of
            the `hyper` input; lambda alone by default.
        objective: `Objective`, or the dict of its arguments; its values hold for the
            hyper-parameters that are not in `hyper`.
        features: "forces", or "images" (VoxelMorph's network, the paper's): see
            `nets.registration.velocity`.
        generator: "per_channel", "low_rank" or "full" (the paper's).
        units: Width of the hypernetwork.
        depth: Its number of layers.
        encoder: Filters of each level down.
        decoder: Filters of each level up.
        final: Filters of the last convolutions.
        velocity_resolution: 1, or 2 for half resolution.
        integration_steps: Squarings of the integration.
        precision: "float32", or "bfloat16" for the convolutions alone; fields stay float32.

    Input shape:
        Dict: two tensors `(batch, i, j[, k], 1)`, any size, intensities in [0, 1], and
        `hyper (batch, number of hyper-parameters)` in their own units.

    Output shape:
        Dict: `moved (batch, i, j[, k], 1)`, `displacement (batch, i, j[, k], rank)`, and
        `velocity` on the padded grid at its own resolution.

    Raises:
        ValueError: If the generator or the features are unknown, or a hyper-parameter appears twice.

    Example:

    >>> model = HyperMorph(rank=3, hyper=[HyperParameter("lambda")])
    >>> model.compile("adam")
    >>> model.fit(pairs)

    Reference:
        - Hoopes et al., HyperMorph, 2021, sections 3.1 and 3.3.
    """

    def __init__(
        self,
        rank=3,
        hyper=None,
        objective=None,
        features="forces",
        generator="per_channel",
        units=64,
        depth=4,
        encoder=widths.ENCODER,
        decoder=widths.DECODER,
        final=widths.FINAL,
        velocity_resolution=2,
        integration_steps=7,
        precision="float32",
        **kwargs,
    ):
        objective = Objective(**objective) if isinstance(objective, dict) else objective or Objective()
        hyper = _hyper_parameters(hyper, objective)
        if generator not in GENERATORS:
            raise ValueError(
                f"Received an invalid value for `generator`, expected one of {', '.join(GENERATORS)}. "
                f"Received: generator={generator}"
            )
        ends = [each.low for each in hyper], [each.high for each in hyper]
        hypernetwork = Hypernetwork(*ends, units, depth, name="hypernetwork", dtype="float32")

        def convolve(x, filters, name, kernel_initializer="he_normal", dtype=None):
            layer = GENERATORS[generator](filters, kernel_initializer=kernel_initializer, name=name, dtype=dtype)
            return layer(x, conditioning)

        network = velocity_network(features)
        with layers_in(precision):
            moving, fixed = image_input(rank, "moving"), image_input(rank, "fixed")
            hyper_input = keras.Input(shape=(len(hyper),), name="hyper")
            conditioning = hypernetwork(hyper_input)
            velocity = network(moving, fixed, convolve, encoder, decoder, final, velocity_resolution)
            outputs = registration_outputs(moving, fixed, velocity, integration_steps, velocity_resolution)
            inputs = {"moving": moving, "fixed": fixed, "hyper": hyper_input}
            super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.hyper_parameters = tuple(hyper)
        self.arguments = {
            "rank": rank,
            "features": features,
            "generator": generator,
            "units": units,
            "depth": depth,
            "encoder": list(encoder),
            "decoder": list(decoder),
            "final": list(final),
            "velocity_resolution": velocity_resolution,
            "integration_steps": integration_steps,
            "precision": precision,
        }
        self.prepare_training(objective)

    def get_config(self):
        return {
            **self.arguments,
            "hyper": [dataclasses.asdict(hyper) for hyper in self.hyper_parameters],
            "objective": dataclasses.asdict(self.objective),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _hyper_parameters(given, objective):
    """As `HyperParameter`s, lambda by default."""
    given = [{"name": "lambda"}] if given is None else given
    hyper = [HyperParameter(**parameter) if isinstance(parameter, dict) else parameter for parameter in given]
    if not hyper:
        raise ValueError("Expected one or several hyper-parameters. Received: none")
    check_names(hyper, objective.terms)
    return hyper
