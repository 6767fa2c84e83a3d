"""Architectures of official files."""

import dataclasses
import json

import pytest

from nets.legacy import OfficialVoxelMorph
from nets.legacy_architecture import read_architecture
from nets.registration.voxelmorph import VoxelMorph


def test_parameter_counts_are_the_originals():
    """A file of the default network must fit to the last weight."""
    for options, count in (({}, 327_331), ({"svf_resolution": 2}, 313_507)):
        model = OfficialVoxelMorph(read_architecture("VxmDense", {"inshape": [16, 16, 16], **options}))
        assert model.count_params() == count
    model = OfficialVoxelMorph(read_architecture("HyperVxmDense", {"inshape": [16, 16, 16]}))
    assert model.count_params() == 42_142_243
    hybrid = VoxelMorph(rank=3, velocity_resolution=1)
    assert hybrid.count_params() == 327_331


def test_a_stored_config_of_a_released_model_is_understood():
    """The config in EasyReg's file, with its deprecated options."""
    config = {
        "name": "vxm_dense", "fill_value": None, "input_model": None, "unet_half_res": True, "trg_feats": 1,
        "src_feats": 1, "use_probs": False, "bidir": False, "int_downsize": 2, "int_steps": 10,
        "nb_unet_conv_per_level": 1, "unet_feat_mult": 1, "nb_unet_levels": None,
        "nb_unet_features": [[256] * 4, [256] * 6], "inshape": [160, 160, 192],
    }  # fmt: skip
    architecture = read_architecture("VxmDense", config)
    assert architecture.integration_steps == 10
    assert architecture.velocity_resolution == architecture.integration_resolution == 2
    assert OfficialVoxelMorph(architecture).count_params() == 21_270_787


@pytest.mark.parametrize(
    ("class_name", "options", "message"),
    [
        ("VxmAffineFeatureDetector", {"inshape": [16, 16]}, "class VxmAffineFeatureDetector"),
        ("VxmDense", {"inshape": [16, 16], "src_feats": 2}, "src_feats=2"),
        ("VxmDense", {"inshape": [16, 16], "swin": True}, "swin=True: unknown"),
        ("VxmDense", {"inshape": [16, 16], "int_resolution": 3}, "int_resolution=3"),
        ("VxmDense", {"inshape": [16]}, "inshape"),
        ("VxmDense", {"inshape": [16, 16], "nb_unet_features": 8}, "nb_unet_levels"),
    ],
)
def test_unknown_architectures_are_refused_by_name(class_name, options, message):
    """A guess at an architecture would load weights into the wrong places."""
    with pytest.raises(ValueError, match=message):
        read_architecture(class_name, options)


def test_architectures_are_plain_data():
    """What is stored with a model must come back from JSON."""
    architecture = read_architecture("VxmDense", {"inshape": [16, 16]})
    stored = json.loads(json.dumps(dataclasses.asdict(architecture)))
    assert OfficialVoxelMorph(stored).count_params() == OfficialVoxelMorph(architecture).count_params()
