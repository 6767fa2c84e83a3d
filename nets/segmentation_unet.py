"""The U-Net that segments, in 2D and 3D."""

import keras
from keras import layers

from nets.layers import ConvUpsampled
from nets.unet import unet

FILTERS = (53, 106, 212, 424)


class PartlyFrozen(keras.Model):
    """A model that keeps in its config which of its layers are frozen.

    Keras forgets it: a resumed training would continue with other weights than it began with. What
    else the constructor needs is in `_config`.
    """

    def get_config(self):
        frozen = [layer.name for layer in self.layers if not layer.trainable]
        return {**self._config, "name": self.name, "frozen": frozen}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        frozen = config.pop("frozen", ())
        model = cls(**config)
        for name in frozen:
            model.get_layer(name).trainable = False
        return model


@keras.saving.register_keras_serializable(package="kerasmorph")
class SegmentationUNet(PartlyFrozen):
    """Logits of structures: a U-Net of two convolutions a level.

    With four levels 15 convolutions: 8 before the first upsampling and 7 after it; with the default filters 16
    million weights, both as in the thesis.

    Args:
        rank: 2 or 3.
        filters: Of each level, the lowest last.
        dropout: Share of the feature maps that are dropped after each level (spatial dropout).
        batch_normalisation: Whether every convolution is followed by it.
        structures: How many are segmented.

    Input shape:
        Dict of `image`: `(batch, i, j[, k], 1)`, sizes divisible by `2 ** (levels - 1)`, in [0, 1].

    Output shape:
        `(batch, i, j[, k], structures)`: logits.

    Raises:
        ValueError: If there are less than two levels.

    Example:

    >>> logits = SegmentationUNet(filters=(8, 16, 32))({"image": image})

    Reference:
        - Bertrand, thesis, 2019, section 3.3.1; Cicek et al., 2016; Tompson et al., 2015 (spatial dropout).
    """

    def __init__(self, rank=3, filters=FILTERS, dropout=0.1, batch_normalisation=False, structures=1, **kwargs):
        image = keras.Input((*[None] * rank, 1), name="image")
        between = spatial_dropout(rank, dropout)
        logits = segmentation_logits(image, filters, batch_normalisation, between, structures)
        super().__init__(inputs={"image": image}, outputs=logits, **kwargs)
        self._config = {
            "rank": rank, "filters": list(filters), "dropout": dropout, "batch_normalisation": batch_normalisation,
            "structures": structures,
        }  # fmt: skip


def spatial_dropout(rank, share):
    """What is done after the convolutions of each level in training: whole feature maps are dropped.

    Args:
        rank: 2 or 3.
        share: Of the maps.

    Returns:
        Function for `between` of `nets.unet.unet`.
    """
    drop = (layers.SpatialDropout2D, layers.SpatialDropout3D)[rank - 2]

    def dropped(x, place):
        return x if place.endswith("_pool") or not share else drop(share, name=f"{place}_dropout")(x)

    return dropped


def segmentation_logits(image, filters, batch_normalisation=False, between=None, structures=1, start="glorot_uniform"):
    """The graph of a `SegmentationUNet`.

    Args:
        image: Keras tensor `(batch, i, j[, k], 1)`.
        filters: Of each level.
        batch_normalisation: Whether every convolution is followed by it.
        between: As in `nets.unet.unet`.
        structures: How many are segmented.
        start: Initializer of the last convolution.

    Returns:
        Keras tensor `(batch, i, j[, k], structures)`. Layers that have weights bear the names that they have in
        every other network of this kind.

    Raises:
        ValueError: If there are less than two levels.
    """
    if len(filters) < 2:
        raise ValueError(f"Expected filters of two or more levels. Received: {filters}")
    rank = len(image.shape) - 2
    convolution = (layers.Conv2D, layers.Conv3D)[rank - 2]

    def convolve(x, width, name):
        if isinstance(x, list):
            x = ConvUpsampled(width, name=name)(*x)
        else:
            x = convolution(width, 3, padding="same", kernel_initializer="he_normal", name=name)(x)
        return layers.BatchNormalization(name=f"{name}_normalised")(x) if batch_normalisation else x

    *widths, lowest = [(width, width) for width in filters]
    features = unet(image, convolve, encoder=widths, decoder=[lowest, *widths[:0:-1]], final=widths[0], between=between)
    return convolution(structures, 1, kernel_initializer=start, name="logits")(features)


def convolution_names(model):
    """Names of a network's convolutions, from the image to the logits.

    Args:
        model: `SegmentationUNet`, or a network made of one.

    Returns:
        List of strings.
    """
    kinds = (layers.Conv2D, layers.Conv3D, ConvUpsampled)
    return [layer.name for layer in model.layers if isinstance(layer, kinds) and not layer.name.startswith("added_")]


def copy_weights(source, target):
    """Give a network of this kind another one's weights, layer by layer of the same name.

    Args:
        source: Keras model.
        target: Keras model; layers that only one of the two has are left alone.
    """
    names = {layer.name for layer in target.layers}
    for layer in source.layers:
        if layer.weights and layer.name in names:
            target.get_layer(layer.name).set_weights(layer.get_weights())
