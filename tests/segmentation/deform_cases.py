"""A small template network."""

import keras

from segmentation.signed_distance import signed_distance
from segmentation.template import Template
from segmentation.template_network import TemplateNetwork
from tests.segmentation.shapes import ellipsoid

numpy = keras.ops.convert_to_numpy


SIZE = 16


BALL = signed_distance(ellipsoid(SIZE, (5, 4, 3)))[..., None]


TEMPLATE = Template(BALL[None], 2.0, (1,))


def network(**settings):
    model = TemplateNetwork(SIZE, filters=(4, 6, 8), **settings)
    model.take_template(TEMPLATE)
    return model
