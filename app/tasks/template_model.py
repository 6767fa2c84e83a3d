"""The networks of the task `template`: built, loaded, applied."""

import dataclasses

import keras
import numpy as np
from scipy.ndimage import label, map_coordinates

from app.data.cube import cube_grid, from_cube, to_cube
from app.errors import UserError, list_problems
from app.finite import check_finite
from app.training.train import optimizer
from nets.losses.dice import SegmentationLoss
from nets.ops.folding import folding_voxels
from nets.segmentation_unet import SegmentationUNet
from segmentation.deform import deform
from segmentation.pose import enough_seen, nearly_mask
from segmentation.pose_loss import PoseLoss
from segmentation.refine import Refinement, on_side
from segmentation.template import labelled, shape_topologies, structures_of
from segmentation.template_network import TemplateNetwork

SHARES = (1.0, 0.7, 0.5, 0.25, 0.0)  # of the local field, until nothing folds and a mask has the template's topology


@dataclasses.dataclass(frozen=True)
class TemplateSegmentation:
    """What a network makes of a volume.

    Args:
        mask: Labels on the volume's grid, uint16.
        distances: On the volume's grid, `(i, j, k, structures)`: positive inside, in voxels of the cube, structures
            that touch share one face; of a U-Net logits, positive where the mask is.
        topologies: Of the mask's structures and, of several, of all together.
        right: Whether these are the template's, see `TemplateContract.has_topology`.
        reached: Where each voxel of the volume's grid lies in the template, `(i, j, k, 3)`, in its voxels; None of a
            U-Net.
        folding: Voxels of the cube at which it folds, between voxels too; None of a U-Net.
        pose: Translations in voxels, angles in degrees, scales of the template; None without.
        shares: Of each template of a bank; None of a U-Net.
        local_share: How much of the local field was kept: 1, or less where all of it would have folded or broken the
            topology.
        points_met: Of a user's points, how many; None without points.
        seen: How far what the network itself sees led the template, see `segmentation.pose.enough_seen`.
        template: Distances of what was deformed, `(size, size, size, structures)`; None of a U-Net.
    """

    mask: np.ndarray
    distances: np.ndarray
    topologies: tuple
    right: bool
    reached: np.ndarray | None
    folding: int | None
    pose: tuple | None
    shares: np.ndarray | None
    local_share: float
    points_met: int | None
    seen: float
    template: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class _Deformed:
    """A template deformed by a share of its local field; as in `TemplateSegmentation`."""

    local_share: float
    displacement: np.ndarray
    reached: np.ndarray
    read: np.ndarray
    mask: np.ndarray
    topologies: tuple
    right: bool
    folding: int


def build(config, template):
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
    found = {"mask": (SegmentationLoss(), 1.0), "evidence": (SegmentationLoss(), 1.0)}
    if network.transform != "local" and network.pose_weight:
        found["parameters"] = PoseLoss.of_template(template.whole()), network.pose_weight
    return found


def compile_model(config, model, compared, steps):
    """Give a network its losses, and Adam with a cosine decay.

    Args:
        config: `TemplateConfig`.
        model: Keras model.
        compared: What `losses` returned.
        steps: Batches per epoch.
    """
    jit = keras.backend.backend() == "jax"
    adam = optimizer(config.training, steps)
    if not compared:
        return model.compile(adam, SegmentationLoss(), jit_compile=jit)
    loss, weights = ({name: one[index] for name, one in compared.items()} for index in range(2))
    model.compile(adam, loss, loss_weights=weights, jit_compile=jit)
    # Each output's mean is made when its loss is first computed; within the first step TensorFlow traced that twice.
    outputs = {name: keras.ops.zeros((1, *one.shape[1:])) for name, one in model.output.items()}
    model.compute_loss(y=dict.fromkeys(compared, keras.ops.ones_like(outputs["mask"])), y_pred=outputs)


def dice_of(model, cases):
    """Mean Dice of structures on their cubes.

    Args:
        model: Keras model.
        cases: List of `CubeCase`.

    Returns:
        Float.
    """
    found = []
    for one in cases:
        mask = _found(model, one.image)["mask"][0] > 0
        both = 2 * np.sum(mask & one.mask, axis=(0, 1, 2))
        found.append(np.mean(both / np.maximum(np.sum(mask, axis=(0, 1, 2)) + np.sum(one.mask, axis=(0, 1, 2)), 1)))
    return float(np.mean(found))


def poses_of(model, cases):
    """Poses that a network predicts.

    Args:
        model: Keras model.
        cases: List of `CubeCase`.

    Returns:
        Dict from population to `(volumes, 9)`; empty if the network predicts none.
    """
    poses = {}
    for one in cases if isinstance(model, TemplateNetwork) and "parameters" in model.output else []:
        found = _found(model, one.image)["parameters"][0]
        poses.setdefault(one.case.population, []).append(found)
    return {population: np.stack(own) for population, own in poses.items()}


class Segmenter:
    """Applies a network to volumes.

    Args:
        model: Keras model.
        contract: `TemplateContract`.
        refinement_steps: At test time, see `segmentation.refine`.
        largest_component: Whether of a U-Net's mask only the largest part of each structure is kept.
    """

    def __init__(self, model, contract, refinement_steps=0, largest_component=False):
        self.model, self.contract = model, contract
        self.refinement_steps, self.largest_component = refinement_steps, largest_component
        self.refinement = Refinement(model) if isinstance(model, TemplateNetwork) else None

    def __call__(self, volume, points=None, name=None):
        """Segment a volume.

        Args:
            volume: `Volume`.
            points: `Points` that the mask must obey, or None.
            name: Of its file, for a note where few intensities are left.

        Returns:
            `TemplateSegmentation`.

        Raises:
            UserError: If the volume cannot be brought to the network's cube, or points are given to a U-Net.
        """
        contract = self.contract
        grid = cube_grid(volume, contract.size, contract.spacing_mm)
        found = _found(self.model, contract.intensity_rule.unit_range(to_cube(volume, grid), name))
        if self.refinement is None:
            if points is not None:
                raise UserError(
                    "points: this run's network is a U-Net (network.transform none), which cannot obey them"
                )
            parts = [from_cube(part, grid, volume, -10.0) for part in np.moveaxis(found["mask"][0], -1, 0)]
            logits = np.stack(parts, axis=-1)
            mask = labelled(logits, contract.labels)
            if self.largest_component:
                mask = _largest(mask, contract.labels)
            own = structures_of(mask, contract.labels)
            logits = np.where(own, logits, np.minimum(logits, -1e-3))  # where another is deeper, or left out
            shapes = shape_topologies(own)
            right = contract.has_topology(shapes)
            return TemplateSegmentation(mask, logits, shapes, right, None, None, None, None, 1.0, None, 1.0, None)
        distances = self._template(found["shares"])
        wanted = (None, None) if points is None else _on_cube(points, grid, len(contract.labels))
        if points is not None or self.refinement_steps:
            refined = self.refinement(found, distances, *wanted, self.refinement_steps)
            found |= {"parameters": refined.parameters, "velocity": refined.velocity}
        return self._admissible(found, distances, volume, grid, *wanted)

    def _template(self, shares):
        return keras.ops.convert_to_numpy(self.model.get_layer("template")(shares))

    def _admissible(self, found, distances, volume, grid, places, signs):
        # Only a flow comes nearer to the pose alone, whose topology is the template's, by being shortened.
        shorter, kept = found.get("velocity") is not None and self.contract.diffeomorphic, None
        for share in SHARES if shorter else (1.0,):
            tried = self._deformed(found, share, distances, volume, grid)
            admissible = tried.right and not tried.folding
            # In voxels too coarse for a shape no share has its topology: then the most that does not fold.
            if kept is None or admissible or (kept.folding and not tried.folding):
                kept = tried
            if admissible:
                break
        parameters, met = found.get("parameters"), None
        pose = None if parameters is None else tuple(float(one) for one in parameters[0])
        if places is not None:
            moves = _read(np.moveaxis(kept.displacement, -1, 0), places)
            sides = keras.ops.convert_to_numpy(on_side(_read(np.moveaxis(distances[0], -1, 0), places + moves), signs))
            met = int(np.sum(np.all((sides >= 0) | (signs == 0), axis=-1)))
        apart = keras.ops.convert_to_numpy(on_side(kept.read, np.ones(1)))
        evidence = keras.ops.convert_to_numpy(nearly_mask(found["evidence"]))
        seen = float(enough_seen(evidence.sum(), np.sum(distances > 0)))
        return TemplateSegmentation(
            kept.mask, apart, kept.topologies, kept.right, kept.reached, kept.folding, pose, found["shares"][0],
            kept.local_share, met, seen, distances[0],
        )  # fmt: skip

    def _deformed(self, found, share, distances, volume, grid):
        parameters, velocity = found.get("parameters"), found.get("velocity")
        bent = None if velocity is None else np.float32(share) * velocity
        field = keras.ops.convert_to_numpy(deform(distances, parameters, bent, self.contract.diffeomorphic)[1])[0]
        # Read off the template itself: distances that were deformed on the cube first would be blurred twice.
        reached = in_template(field, grid, volume)
        read = _read(np.moveaxis(distances[0], -1, 0), reached)
        mask = labelled(read, self.contract.labels)
        shapes = shape_topologies(structures_of(mask, self.contract.labels))
        right, folding = self.contract.has_topology(shapes), folding_voxels(field)
        return _Deformed(share, field, reached, read, mask, shapes, right, folding)


def in_template(displacement, grid, volume):
    """Where a volume's own voxels lie in the template.

    Args:
        displacement: On the cube, `(size, size, size, 3)`, in voxels, from the image to the template.
        grid: `CubeGrid`.
        volume: `Volume`.

    Returns:
        `(i, j, k, 3)`, float32, in voxels of the template.
    """
    pull = np.linalg.inv(grid.affine) @ volume.affine
    i, j, k = np.indices(volume.array.shape[:3], sparse=True)
    reached = np.empty((*volume.array.shape[:3], 3), "float32")
    for axis in range(3):  # places of a whole CT, all axes in 64 bits, would not fit in memory
        reached[..., axis] = from_cube(displacement[..., axis], grid, volume, outside=None)
        reached[..., axis] += pull[axis, 0] * i + (pull[axis, 1] * j + (pull[axis, 2] * k + pull[axis, 3]))
    return reached


def _found(model, image):
    answer = model.predict_on_batch({"image": np.asarray(image, "float32")[None, ..., None]})
    answer = answer if isinstance(answer, dict) else {"mask": answer}
    return {
        name: check_finite(keras.ops.convert_to_numpy(one), f"the network's {name}") for name, one in answer.items()
    }


def _read(parts, places):
    """Each of several arrays at places in voxels, `(..., parts)`."""
    places = np.moveaxis(places, -1, 0)
    return np.stack([map_coordinates(one, places, order=1, mode="nearest") for one in parts], axis=-1)


def _largest(mask, labels):
    """Of each structure the largest part, with the neighbours by which `topology` counts."""
    kept = np.zeros_like(mask)
    for value in labels:
        parts, count = label(mask == value, np.ones((3, 3, 3)))
        if count:
            kept[parts == 1 + np.bincount(parts.ravel())[1:].argmax()] = value
    return kept


def _on_cube(points, grid, structures):
    places = np.linalg.solve(grid.affine[:3, :3], (points.places - grid.affine[:3, 3]).T).T
    beyond = np.any((places < 0) | (places > grid.size - 1), axis=1)
    list_problems([
        f"{points.names[index]}: lies outside of the cube of {grid.size} voxels that the network sees; remove it"
        for index in np.flatnonzero(beyond)
    ])  # fmt: skip
    signs = np.zeros((len(places), structures), "float32")
    for index, (inside, structure) in enumerate(zip(points.inside, points.structures, strict=True)):
        signs[index, slice(None) if structure < 0 else structure] = 1.0 if inside else -1.0
    return places.astype("float32"), signs
