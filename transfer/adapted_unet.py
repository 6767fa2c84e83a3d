"""A segmentation network with the layers that adapt it to another population."""

import keras
import numpy as np
from keras import layers

from nets.segmentation_unet import PartlyFrozen, SegmentationUNet, copy_weights, segmentation_logits
from transfer.geometric_transform import GeometricTransform, UndoTransform
from transfer.intensity_transform import IntensityTransform
from transfer.population_gate import PopulationGate


@keras.saving.register_keras_serializable(package="kerasmorph")
class AdaptedUNet(PartlyFrozen):
    """A `SegmentationUNet` with transfer layers; before they are trained it equals the source, bit for bit.

    Args:
        filters: Of the source network.
        batch_normalisation: Of the source network.
        geometric: Whether the image is moved by a predicted pose, and the logits back.
        intensity: Whether the maps of each level are scaled and shifted (the thesis: of the lowest alone; the skip
            connections then carry maps that nothing adapts).
        convolutions: Whether a 3-wide convolution follows each pooling and precedes each upsampling (the thesis'
            "fixed convolutions"; they begin as the identity).
        gate: Whether volumes that look like the source population are left alone.

    Input shape:
        Dict of `image`: `(batch, i, j, k, 1)`.

    Output shape:
        `(batch, i, j, k, 1)`: logits.

    Reference:
        - Bertrand, thesis, 2019, section 3.4, figure 3.6.
    """

    def __init__(
        self, filters, batch_normalisation=False, geometric=False, intensity=False, convolutions=False, gate=False,
        **kwargs,
    ):  # fmt: skip
        image = keras.Input((None, None, None, 1), name="image")
        opened = PopulationGate(filters, batch_normalisation, name="gate")(image) if gate else None
        x, matrix = GeometricTransform(name="added_geometric")(image, opened) if geometric else (image, None)

        def added(x, place):
            if intensity and not place.endswith("_pool"):
                x = IntensityTransform(name=f"added_intensity_{place}")(x, opened)
            if convolutions and (place.endswith("_pool") or place.startswith("decoder")):
                width = x.shape[-1]
                x = layers.Conv3D(
                    width, 3, padding="same", kernel_initializer=Identity(), name=f"added_convolution_{place}"
                )(x)
            return x

        logits = segmentation_logits(x, filters, batch_normalisation, added)
        if geometric:
            logits = UndoTransform(name="undo")(logits, matrix)
        super().__init__(inputs={"image": image}, outputs=logits, **kwargs)
        self._config = {
            "filters": list(filters), "batch_normalisation": batch_normalisation, "geometric": geometric,
            "intensity": intensity, "convolutions": convolutions, "gate": gate,
        }  # fmt: skip

    def take_source(self, source):
        """Copy the source network's weights, also into the gate's copy of its encoder.

        Args:
            source: `SegmentationUNet` of the same filters.
        """
        copy_weights(source, self)
        if self._config["gate"]:
            copy_weights(source, self.get_layer("gate").described)

    def standardise(self, volumes):
        """Before training: scale what the added layers see, over some volumes, with the gate open.

        Of maps under the pose as it is: a pose to begin with comes first.

        Args:
            volumes: List of `(batch, i, j, k, 1)`.
        """
        if self._config["geometric"]:
            self.get_layer("added_geometric").standardise(volumes)
        if self._config["intensity"]:
            changed = [layer for layer in self.layers if isinstance(layer, IntensityTransform)]
            below = [name.input[0] if isinstance(name.input, (list, tuple)) else name.input for name in changed]
            maps = keras.Model(self.inputs, below)
            seen = []
            for volume in volumes:  # maps of all volumes at once would fill the memory
                found = maps({"image": volume}, training=True)
                seen.append(
                    [keras.ops.convert_to_numpy(layer.seen(own)) for layer, own in zip(changed, found, strict=True)]
                )
            for layer, own in zip(changed, zip(*seen, strict=True), strict=True):
                layer.standardise(np.concatenate(own))

    def poses(self, image):
        """The pose that is predicted for each volume.

        Args:
            image: `(batch, i, j, k, 1)`.

        Returns:
            `(batch, 9)`, see `GeometricTransform.parameters`; the gate is not taken into account.
        """
        return self.get_layer("added_geometric").parameters(image)


@keras.saving.register_keras_serializable(package="kerasmorph")
class Identity(keras.initializers.Initializer):
    """Kernel of a convolution that returns its input."""

    def __call__(self, shape, dtype=None):
        kernel = np.zeros(shape, "float32")
        kernel[tuple(size // 2 for size in shape[:-2])] = np.eye(shape[-2], shape[-1])
        return keras.ops.convert_to_tensor(kernel, dtype=dtype)


def adapted(source, **layers_added):
    """A source network with transfer layers.

    Args:
        source: `SegmentationUNet`.
        **layers_added: Of `AdaptedUNet`: `geometric`, `intensity`, `convolutions`, `gate`.

    Returns:
        `AdaptedUNet` with the source's weights.
    """
    config = source.get_config()
    if not isinstance(source, SegmentationUNet) or config["rank"] != 3:
        raise ValueError(f"Expected a SegmentationUNet of rank 3. Received: {source}")
    model = AdaptedUNet(config["filters"], config["batch_normalisation"], **layers_added)
    model.take_source(source)
    return model
