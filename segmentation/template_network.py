"""The network that segments by deforming a template."""

import keras
from keras import layers, ops

from nets.segmentation_unet import FILTERS, segmentation_logits, spatial_dropout
from segmentation.deform import Deform, Shares, SmoothVelocity, TemplateBank, ToTemplate
from segmentation.pose import PosePredictor

TRANSFORMS = ("global_local", "global", "local")


@keras.saving.register_keras_serializable(package="kerasmorph")
class TemplateNetwork(keras.Model):
    """A template, laid into an image by a predicted pose and bent by a predicted local field.

    A `SegmentationUNet` makes a soft segmentation of its own, the evidence. `PosePredictor` reads the pose off
    evidence and lowest maps; the evidence and the decoder's maps at half the resolution are taken into the template's
    frame, where three convolutions beside the template predict the local field. At the start the output is the
    template. The U-Net learns from the evidence's loss alone, as it would by itself.

    Args:
        size: Voxels along each axis of the cube, divisible by `2 ** (levels - 1)`.
        structures: How many the template has.
        members: How many templates are mixed.
        learned: Whether training changes the template.
        filters, dropout, batch_normalisation: Of the U-Net.
        transform: "global_local", "global" or "local".
        diffeomorphic: Whether the local field is the flow of a velocity, which does not fold but where it is extreme
            (between voxels: see `nets.ops.folding`), or a displacement (the thesis).
        local_weight, volume_weight: See `segmentation.deform.Deform`.

    Input shape:
        Dict of `image`: `(batch, size, size, size, 1)`, in [0, 1].

    Output shape:
        Dict of `mask`: logits, `(batch, size, size, size, structures)`, 6 a voxel of distance; `evidence`: logits of
        the soft segmentation, of the same shape; `displacement`: `(batch, size, size, size, 3)`, from the image to the
        template; `shares` of the templates `(batch, members)`; where there is a pose `parameters`, `(batch, 9)`;
        where there is a local field `velocity`, `(batch, size / 2, size / 2, size / 2, 3)`.

    Raises:
        ValueError: If the transform is unknown.

    Reference:
        - Bertrand, thesis, 2019, section 4.4, figure 4.2.
    """

    def __init__(
        self, size, structures=1, members=1, learned=False, filters=FILTERS, dropout=0.1, batch_normalisation=False,
        transform="global_local", diffeomorphic=True, local_weight=0.01, volume_weight=0.05, **kwargs,
    ):  # fmt: skip
        if transform not in TRANSFORMS:
            raise ValueError(f"Expected a transform of {TRANSFORMS}. Received: {transform}")
        image = keras.Input((size, size, size, 1), name="image")
        drop, seen = spatial_dropout(3, dropout), {}

        def noted(x, place):
            seen[place] = x
            return drop(x, place)

        # Nothing is seen at the start, so that the pose is the identity.
        evidence = segmentation_logits(image, filters, batch_normalisation, noted, structures, start="zeros")
        lowest, half = (ops.stop_gradient(seen[place]) for place in (f"decoder_{len(filters) - 2}", "decoder_0"))
        shares = Shares(members, name="shares")(lowest)
        distances = TemplateBank(members, size, structures, learned, name="template")(shares)
        outputs = {"evidence": evidence, "shares": shares}
        parameters, velocity = None, None
        if transform != "local":
            parameters = outputs["parameters"] = PosePredictor(name="pose")(lowest, evidence)
        if transform != "global":
            pool = layers.AveragePooling3D(2, name="half")
            probable = pool(ops.sigmoid(ops.stop_gradient(evidence)))
            maps = layers.Concatenate(name="maps")([probable, half])
            if parameters is not None:
                maps = ToTemplate(name="to_template")(maps, parameters)
            shape = layers.AveragePooling3D(2, name="half_template")(ops.tanh(0.5 * distances))
            x = layers.Concatenate(name="beside")([maps, shape])
            for number in range(2):
                x = layers.Conv3D(16, 3, padding="same", kernel_initializer="he_normal", name=f"local_{number}")(x)
                x = layers.LeakyReLU(negative_slope=0.2, name=f"local_{number}_activation")(x)
            raw = layers.Conv3D(3, 3, padding="same", kernel_initializer="zeros", name="raw_velocity")(x)
            velocity = outputs["velocity"] = SmoothVelocity(name="velocity")(raw)
        outputs["mask"], outputs["displacement"] = Deform(diffeomorphic, local_weight, volume_weight, name="deform")(
            distances, parameters, velocity
        )
        super().__init__(inputs={"image": image}, outputs=outputs, **kwargs)
        self._config = {
            "size": size, "structures": structures, "members": members, "learned": learned, "filters": list(filters),
            "dropout": dropout, "batch_normalisation": batch_normalisation, "transform": transform,
            "diffeomorphic": diffeomorphic, "local_weight": local_weight, "volume_weight": volume_weight,
        }  # fmt: skip

    def take_template(self, template):
        """Deform this template.

        Args:
            template: `Template` of this network's size, structures and members.
        """
        self.get_layer("template").distances.assign(template.distances)
        if self._config["transform"] != "local":
            self.get_layer("pose").take_template(template.whole())

    def get_config(self):
        return {**self._config, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
