"""The thesis' family of slice classifiers, and a head that does not explode."""

import keras

HEADS = ("dense", "pool")


@keras.saving.register_keras_serializable("kerasmorph")
class SliceClassifier(keras.Model):
    """Probability of each class of a slice: blocks of convolutions and pooling, then a head.

    Each of `blocks` blocks has `convolutions` convolutions with rectifiers and ends with a max-pooling
    (thesis, figure 2.14). The head "dense" is the thesis': two layers of 4,096 and 1,024 units, whose
    first has 600 million weights where few blocks leave a large map; "pool" takes the mean of the map
    first, and has as many weights at any size.

    Args:
        classes: Number of classes.
        size: Rows and columns of a slice.
        channels: Slices seen at once: the one in the middle is classified, the others are its neighbours.
        blocks: Number of blocks; `size` is halved by each.
        convolutions: Convolutions in a block.
        filters: Filters of a convolution.
        kernel_size: Its size.
        separable: Whether each convolution is one along the columns, then one along the rows.
        head: "dense" or "pool".
        units: Units of the head's layers.

    Input shape:
        `slices`: `(batch, size, size, channels)`, in [0, 1].

    Output shape:
        `(batch, classes)`: logits.

    Raises:
        ValueError: If the head is unknown, or the blocks leave nothing of the slice.

    Reference:
        - Bertrand, thesis, 2019, sections 2.6.2 and 2.6.3, figures 2.13 and 2.14, table 2.7.
    """

    def __init__(
        self, classes, size=128, channels=1, blocks=5, convolutions=1, filters=64, kernel_size=3, separable=False,
        head="dense", units=(4096, 1024), **kwargs,
    ):  # fmt: skip
        if head not in HEADS:
            raise ValueError(f"Expected head in {HEADS}. Received: {head}")
        if size < 2**blocks:
            raise ValueError(
                f"Expected at most {size.bit_length() - 1} blocks for slices of {size}. Received: {blocks}"
            )
        slices = keras.Input((size, size, channels), name="slices")
        x = slices
        for block in range(blocks):
            for number in range(convolutions):
                x = _convolution(x, filters, kernel_size, separable, f"block_{block}_{number}")
            x = keras.layers.MaxPooling2D(name=f"pool_{block}")(x)
        x = keras.layers.Flatten()(x) if head == "dense" else keras.layers.GlobalAveragePooling2D()(x)
        for number, count in enumerate(units if head == "dense" else ()):
            x = keras.layers.Dense(count, activation="relu", name=f"dense_{number}")(x)
        logits = keras.layers.Dense(classes, name="logits")(x)
        super().__init__(inputs={"slices": slices}, outputs=logits, **kwargs)
        self._config = {
            "classes": classes, "size": size, "channels": channels, "blocks": blocks, "convolutions": convolutions,
            "filters": filters, "kernel_size": kernel_size, "separable": separable, "head": head,
            "units": list(units),
        }  # fmt: skip

    def get_config(self):
        return {**self._config, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _convolution(x, filters, size, separable, name):
    sizes = [(1, size), (size, 1)] if separable else [size]
    for part, kernel in enumerate(sizes):
        layer = keras.layers.Conv2D(filters, kernel, padding="same", activation="relu", name=f"{name}_{part}")
        x = layer(x)
    return x
