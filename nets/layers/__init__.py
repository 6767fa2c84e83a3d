"""Keras layers over `nets.ops`."""

from nets.layers.affine import AffineToField, InvertAffine, ParametersToAffine
from nets.layers.compose_fields import ComposeFields
from nets.layers.conv_upsampled import ConvUpsampled
from nets.layers.fit_to_network import CropLike, PadToMultiple
from nets.layers.hyper_conv import GENERATORS, HyperConvFull, HyperConvLowRank, HyperConvPerChannel
from nets.layers.integrate_velocity import IntegrateVelocity
from nets.layers.invert_displacement import InvertDisplacement
from nets.layers.registration_forces import RegistrationForces
from nets.layers.resize_field import ResizeField
from nets.layers.spatial_transformer import SpatialTransformer
from nets.layers.transform_points import TransformPoints

__all__ = [
    "GENERATORS",
    "AffineToField",
    "ComposeFields",
    "ConvUpsampled",
    "CropLike",
    "HyperConvFull",
    "HyperConvLowRank",
    "HyperConvPerChannel",
    "IntegrateVelocity",
    "InvertAffine",
    "InvertDisplacement",
    "PadToMultiple",
    "ParametersToAffine",
    "RegistrationForces",
    "ResizeField",
    "SpatialTransformer",
    "TransformPoints",
]
