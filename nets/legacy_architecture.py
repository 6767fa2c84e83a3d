"""What an official VoxelMorph file says of its network."""

import dataclasses

import numpy as np

from nets.unet import DECODER, ENCODER, FINAL

# Options of VoxelMorph's constructors that change nothing in what the network computes.
SILENT = {"name", "metadata", "reg_field", "nb_labels", "seg_resolution", "seg_downsize", "bidir_labels"}


ONE = {"src_feats", "trg_feats"}


NONE = {"input_model", "hyp_model"}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What an official model's options mean.

    Args:
        shape: Spatial shape of training.
        encoder: Widths of each level down, a list a level.
        decoder: Widths of each level up.
        final: Widths of the last convolutions.
        velocity_resolution: Voxel size of the predicted velocity, in voxels of the images.
        integration_resolution: Voxel size during integration.
        integration_steps: Squarings; 0 takes the prediction as displacement.
        bidirectional: Whether the fixed image is warped too.
        probabilistic: Whether a log-variance of the velocity is predicted.
        fill_value: Value outside of the image; None repeats the edge.
        hyper: Number of hyper-parameters; 0 without hypernetwork.
        hyper_depth: Layers of the hypernetwork.
        hyper_units: Their width.
    """

    shape: tuple
    encoder: tuple
    decoder: tuple
    final: tuple
    velocity_resolution: int = 1
    integration_resolution: int = 2
    integration_steps: int = 7
    bidirectional: bool = False
    probabilistic: bool = False
    fill_value: float | None = None
    hyper: int = 0
    hyper_depth: int = 6
    hyper_units: int = 128


def read_architecture(class_name, config):
    """The architecture that a file's own config describes.

    Args:
        class_name: Name of the class in the file: `VxmDense`, `HyperVxmDense` or
            `VxmDenseSemiSupervisedSeg` (whose registration network is a `VxmDense`).
        config: Dict of the constructor's arguments, deprecated ones included.

    Returns:
        `Architecture`.

    Raises:
        ValueError: If the class or an option is not known, or an option has a value that
            cannot be represented; the message names what was found.
    """
    known = ("VxmDense", "HyperVxmDense", "VxmDenseSemiSupervisedSeg")
    if class_name not in known:
        raise ValueError(f"class {class_name}: not one of {', '.join(known)}")
    left = {key: value for key, value in config.items() if key not in SILENT}
    ones = {key: left.pop(key, 1) for key in ONE}
    problems = [f"{key}={value!r}: only 1 can be represented" for key, value in ones.items() if value != 1]
    problems += [f"{key}: a model within a model cannot be represented" for key in NONE if left.pop(key, None)]
    shape = tuple(left.pop("inshape", ()))
    if len(shape) not in (2, 3):
        problems.append(f"inshape={list(shape)}: two or three axes are expected")
    try:
        encoder, decoder, final = _widths(left)
    except ValueError as error:
        problems.append(str(error))
    velocity, integration = _resolutions(left, problems)
    steps = left.pop("int_steps", 7)
    hyper = left.pop("nb_hyp_params", 1) if class_name == "HyperVxmDense" else 0
    options = {
        "integration_steps": steps,
        "bidirectional": bool(left.pop("bidir", False)),
        "probabilistic": bool(left.pop("use_probs", False)),
        "fill_value": left.pop("fill_value", None),
        "hyper": hyper,
        "hyper_depth": left.pop("nb_hyp_layers", 6),
        "hyper_units": left.pop("nb_hyp_units", 128),
    }
    problems += [f"{key}={value!r}: unknown option" for key, value in left.items()]
    if problems:
        raise ValueError("; ".join(sorted(problems)))
    return Architecture(
        shape,
        encoder,
        decoder,
        final,
        velocity_resolution=velocity,
        # Without integration VoxelMorph takes the prediction as it is, at its own resolution.
        integration_resolution=integration if steps else velocity,
        **options,
    )


def _resolutions(config, problems):
    """Of the velocity and of its integration."""
    velocity = config.pop("svf_resolution", 1)
    velocity = 2 if config.pop("unet_half_res", False) else velocity
    integration = config.pop("int_resolution", 2)
    integration = config.pop("int_downsize", None) or integration
    for name, value in (("svf_resolution", velocity), ("int_resolution", integration)):
        if value not in (1, 2, 4, 8):
            problems.append(f"{name}={value!r}: only 1, 2, 4 and 8 can be represented")
    return velocity, integration


def _widths(config):
    """Encoder, decoder and final widths, the first two a tuple a level."""
    features = config.pop("nb_unet_features", None)
    old = (config.pop("enc_nf", None), config.pop("dec_nf", None))
    features = old if features is None and all(old) else features
    levels, multiple = config.pop("nb_unet_levels", None), config.pop("unet_feat_mult", 1)
    repeats = config.pop("nb_unet_conv_per_level", 1)
    if features is None:
        features = (ENCODER, (*DECODER, *FINAL))
    elif isinstance(features, int):
        if not levels:
            raise ValueError(f"nb_unet_features={features}: nb_unet_levels is missing")
        widths = np.round(features * multiple ** np.arange(levels)).astype(int)
        features = (np.repeat(widths[:-1], repeats), np.repeat(widths[::-1], repeats))
    down, up = ([int(width) for width in part] for part in features)
    if len(down) % repeats or len(up) < len(down):
        raise ValueError(f"nb_unet_features={[down, up]}: does not divide into levels of {repeats} convolutions")

    def by_level(widths):
        return tuple(tuple(widths[first : first + repeats]) for first in range(0, len(widths), repeats))

    return by_level(down), by_level(up[: len(down)]), tuple(up[len(down) :])
