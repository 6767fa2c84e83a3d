"""A pair and its transforms as a picture."""

from app.data.intensity import IntensityRule
from app.data.read import read_volume
from app.systems.registration.figures import registration_slices
from app.systems.registration.measure import jacobian
from app.systems.registration.pair_measures import displacement_of, read_chain
from app.transforms.moved import moved_image
from app.transforms.tally import Tally
from app.transforms.transform import Chain


def pair_picture(pair, kind=None):
    """Middle slices of a pair on the fixed image's grid.

    Args:
        pair: `PairFiles` with transforms.
        kind: As of `read_chain`.

    Returns:
        Matplotlib figure.
    """
    moving, fixed = read_volume(pair.moving), read_volume(pair.fixed)
    chain, rule = read_chain(pair.transforms, kind), IntensityRule()
    before, after = (moved_image(moving, each, fixed, Tally()) for each in (Chain(()), chain))
    images = [
        rule.unit_range(array, path)
        for array, path in ((before, pair.moving), (fixed.array, pair.fixed), (after, pair.moving))
    ]
    displacement, _ = displacement_of(chain, fixed)
    return registration_slices(*images, displacement, jacobian(displacement), fixed.spacing_mm)
