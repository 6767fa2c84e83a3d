"""The network of the task `template`: built and trained."""

import keras
import numpy as np

from app.systems.masks.steps import MaskSteps
from app.systems.template.contract import TemplateContract
from app.systems.template.file import write_template
from app.systems.template.report import evaluation_of
from app.systems.template.segment import outputs_of
from app.systems.template.system import TEMPLATE, kept_template
from app.training.optimizer import adam
from app.training.run_folder import RunFolder
from nets.losses.dice import SegmentationLoss
from nets.segmentation_unet import SegmentationUNet
from segmentation.pose_loss import PoseLoss
from segmentation.template import Template
from segmentation.template_network import TemplateNetwork


class TemplateSteps(MaskSteps):
    """See `Steps`; the template is kept in the run folder, and that of the folder counts."""

    def __init__(self, config, cohort, folder=None):
        super().__init__(config, cohort, folder)
        self.template = cohort.facts
        if folder is not None:
            if self.template is not None:
                write_template(folder.path / TEMPLATE, self.template)
            # Read even if just written: a session that resumes the run has no other numbers.
            self.template = kept_template(folder, config)
        elif self.template is None:  # a dry run in the folder of a training that has begun
            self.template = kept_template(RunFolder(config.output), config)

    def build(self, config):
        """See `Steps.build`."""
        return network_of(config, self.template)

    def compared(self, config):
        """See `MaskSteps.compared`."""
        return tuple(losses(config, self.template))

    def compile(self, config, model):
        """See `Steps.compile`."""
        jit, optimizer = keras.backend.backend() == "jax", adam(config.training, len(self.batches(config)))
        compared = losses(config, self.template)
        if not compared:
            return model.compile(optimizer, SegmentationLoss(), jit_compile=jit)
        loss, weights = ({name: pair[index] for name, pair in compared.items()} for index in range(2))
        model.compile(optimizer, loss, loss_weights=weights, jit_compile=jit)
        # Each output's mean is made when its loss is first computed; else within the first step, traced twice.
        outputs = {name: keras.ops.zeros((1, *output.shape[1:])) for name, output in model.output.items()}
        model.compute_loss(y=dict.fromkeys(compared, keras.ops.ones_like(outputs["mask"])), y_pred=outputs)

    def dice(self, model, cubes):
        """See `MaskSteps.dice`."""
        return dice_of(model, cubes)

    def finish(self, model):
        """See `Steps.finish`; a template that was learned takes the place of the one that training began with."""
        if isinstance(model, TemplateNetwork) and self.config.template.kind == "learned":
            learned = keras.ops.convert_to_numpy(model.get_layer("template").distances)
            self.template = Template(learned, self.template.spacing_mm, self.template.labels)
            write_template(self.folder.path / TEMPLATE, self.template)
        network = self.config.network
        return TemplateContract(
            labels=self.template.labels, transform=network.transform, diffeomorphic=network.diffeomorphic,
            topologies=self.template.topologies(), simulated=self.config.data.phantom is not None, **self.kept,
        )  # fmt: skip

    def evaluate(self, predictor, history):
        """See `Steps.evaluate`: with the poses of the training volumes."""
        poses = poses_of(predictor.model, self.cohort.loaded["train"])
        return evaluation_of(predictor, self.cohort.parts["test"], self.template, history, poses)


def network_of(config, template):
    """The network of a config.

    Args:
        config: `TemplateConfig`.
        template: `Template`.

    Returns:
        Keras model, not compiled.
    """
    network = config.network
    unet = {
        "filters": network.filters, "dropout": network.dropout, "batch_normalisation": network.batch_normalisation,
        "structures": len(template.labels),
    }  # fmt: skip
    if network.transform == "none":
        return SegmentationUNet(**unet)
    model = TemplateNetwork(
        size=config.data.size, members=len(template.distances), learned=config.template.kind == "learned",
        transform=network.transform, diffeomorphic=network.diffeomorphic, local_weight=network.local_weight,
        volume_weight=network.volume_weight, **unet,
    )  # fmt: skip
    model.take_template(template)
    return model


def losses(config, template):
    """What each output of a config's network is compared with the true mask by.

    Args:
        config: `TemplateConfig`.
        template: `Template`.

    Returns:
        Dict from output to loss and weight; empty of a U-Net, which has one output.
    """
    network = config.network
    if network.transform == "none":
        return {}
    compared = {"mask": (SegmentationLoss(), 1.0), "evidence": (SegmentationLoss(), 1.0)}
    if network.transform != "local" and network.pose_weight:
        compared["parameters"] = PoseLoss.of_template(template.whole()), network.pose_weight
    return compared


def dice_of(model, cubes):
    """Mean Dice of structures on their cubes.

    Args:
        model: Keras model.
        cubes: List of `CubeCase`.

    Returns:
        Float.
    """
    scores = []
    for cube in cubes:
        mask = outputs_of(model, cube.image)["mask"][0] > 0
        both = 2 * np.sum(mask & cube.mask, axis=(0, 1, 2))
        total = np.sum(mask, axis=(0, 1, 2)) + np.sum(cube.mask, axis=(0, 1, 2))
        scores.append(np.mean(both / np.maximum(total, 1)))
    return float(np.mean(scores))


def poses_of(model, cubes):
    """Poses that a network predicts.

    Args:
        model: Keras model.
        cubes: List of `CubeCase`.

    Returns:
        Dict from population to `(volumes, 9)`; empty if the network predicts none.
    """
    poses = {}
    for cube in cubes if isinstance(model, TemplateNetwork) and "parameters" in model.output else []:
        poses.setdefault(cube.case.population, []).append(outputs_of(model, cube.image)["parameters"][0])
    return {population: np.stack(own) for population, own in poses.items()}
