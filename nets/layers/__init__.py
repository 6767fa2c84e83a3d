"""Keras layers over `nets.ops`."""

from nets.layers.fit_to_network import CropLike, PadToMultiple
from nets.layers.hyper_conv import GENERATORS, HyperConvFull, HyperConvLowRank, HyperConvPerChannel
from nets.layers.integrate_velocity import IntegrateVelocity
from nets.layers.registration_forces import RegistrationForces
from nets.layers.resize_field import ResizeField
from nets.layers.spatial_transformer import SpatialTransformer

__all__ = [
    "GENERATORS",
    "CropLike",
    "HyperConvFull",
    "HyperConvLowRank",
    "HyperConvPerChannel",
    "IntegrateVelocity",
    "PadToMultiple",
    "RegistrationForces",
    "ResizeField",
    "SpatialTransformer",
]
