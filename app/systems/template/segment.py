"""A trained template network applied: masks and transforms on a volume's own grid."""

import dataclasses

import keras
import numpy as np
from scipy.ndimage import label, map_coordinates

from app.data.cube import cube_grid, from_cube, to_cube
from app.errors import UserError, list_problems
from app.export.saved_model import Endpoint
from app.finite import check_finite
from app.systems.steps import Predictor
from app.systems.template.report import evaluation_of
from app.systems.template.write import points_of, save_segmentation
from nets.ops.folding import folding_voxels
from segmentation.deform import deform
from segmentation.pose import enough_seen, nearly_mask
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


class Segmenter(Predictor):
    """Segments volumes; see `Predictor`. Of the config it takes `refinement_steps` (at test time, see
    `segmentation.refine`), `largest_component` (of a U-Net's structures), `surface` and `template`."""

    def __init__(self, model, contract, config):
        super().__init__(model, contract, config)
        self.refinement = Refinement(model) if isinstance(model, TemplateNetwork) else None

    def evaluate(self, question):
        """See `Predictor.evaluate`."""
        return evaluation_of(self, question.cases, question.facts)

    def saver(self, to, points=None):
        """See `Predictor.saver`.

        Args:
            to: Folder for the results.
            points: File of points that the mask of one volume must obey, or None.
        """
        given = points_of(points, self.contract)
        return lambda volume: save_segmentation(volume, self, to, given)

    def endpoints(self):
        """See `Predictor.endpoints`: `segment` takes `image` `(batch, size, size, size, 1)` in [0, 1], as
        `app.data.cube` makes it, and gives `logits` `(batch, size, size, size, structures)` and, of a deformed
        template, `displacement`. Unlike `predict`, it neither refines nor holds back a local field that folds."""

        def segment(image):
            outputs = self.model({"image": image}, training=False)
            if not isinstance(outputs, dict):
                return {"logits": outputs}
            return {"logits": outputs["mask"], "displacement": outputs["displacement"]}

        shape = (*(self.contract.size,) * 3, 1)
        sample = np.random.default_rng(0).random((2, *shape), dtype="float32")
        return {"segment": Endpoint(segment, {"image": (None, *shape)}, {"image": sample})}

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
        outputs = outputs_of(self.model, contract.intensity.unit_range(to_cube(volume, grid), name))
        if self.refinement is None:
            if points is not None:
                raise UserError(
                    "points: this run's network is a U-Net (network.transform none), which cannot obey them"
                )
            return self._without_template(outputs["mask"][0], volume, grid)
        distances = self._template(outputs["shares"])
        wanted = (None, None) if points is None else _on_cube(points, grid, len(contract.labels))
        if points is not None or self.config.refinement_steps:
            refined = self.refinement(outputs, distances, *wanted, self.config.refinement_steps)
            outputs |= {"parameters": refined.parameters, "velocity": refined.velocity}
        return self._admissible(outputs, distances, volume, grid, *wanted)

    def _without_template(self, cube, volume, grid):
        labels = self.contract.labels
        logits = np.stack([from_cube(part, grid, volume, -10.0) for part in np.moveaxis(cube, -1, 0)], axis=-1)
        mask = labelled(logits, labels)
        if self.config.largest_component:
            mask = _largest(mask, labels)
        own = structures_of(mask, labels)
        logits = np.where(own, logits, np.minimum(logits, -1e-3))  # where another is deeper, or left out
        shapes = shape_topologies(own)
        right = self.contract.has_topology(shapes)
        return TemplateSegmentation(mask, logits, shapes, right, None, None, None, None, 1.0, None, 1.0, None)

    def _template(self, shares):
        return keras.ops.convert_to_numpy(self.model.get_layer("template")(shares))

    def _admissible(self, outputs, distances, volume, grid, places, signs):
        # Only a flow comes nearer to the pose alone, whose topology is the template's, by being shortened.
        shorter, kept = outputs.get("velocity") is not None and self.contract.diffeomorphic, None
        for share in SHARES if shorter else (1.0,):
            tried = self._deformed(outputs, share, distances, volume, grid)
            admissible = tried.right and not tried.folding
            # In voxels too coarse for a shape no share has its topology: then the most that does not fold.
            if kept is None or admissible or (kept.folding and not tried.folding):
                kept = tried
            if admissible:
                break
        parameters, met = outputs.get("parameters"), None
        pose = None if parameters is None else tuple(float(number) for number in parameters[0])
        if places is not None:
            moves = _read(np.moveaxis(kept.displacement, -1, 0), places)
            sides = keras.ops.convert_to_numpy(on_side(_read(np.moveaxis(distances[0], -1, 0), places + moves), signs))
            met = int(np.sum(np.all((sides >= 0) | (signs == 0), axis=-1)))
        apart = keras.ops.convert_to_numpy(on_side(kept.read, np.ones(1)))
        evidence = keras.ops.convert_to_numpy(nearly_mask(outputs["evidence"]))
        seen = float(enough_seen(evidence.sum(), np.sum(distances > 0)))
        return TemplateSegmentation(
            kept.mask, apart, kept.topologies, kept.right, kept.reached, kept.folding, pose, outputs["shares"][0],
            kept.local_share, met, seen, distances[0],
        )  # fmt: skip

    def _deformed(self, outputs, share, distances, volume, grid):
        parameters, velocity = outputs.get("parameters"), outputs.get("velocity")
        bent = None if velocity is None else np.float32(share) * velocity
        field = keras.ops.convert_to_numpy(deform(distances, parameters, bent, self.contract.diffeomorphic)[1])[0]
        # Read off the template itself: distances that were deformed on the cube first would be blurred twice.
        reached = in_template(field, grid, volume)
        read = _read(np.moveaxis(distances[0], -1, 0), reached)
        mask = labelled(read, self.contract.labels)
        shapes = shape_topologies(structures_of(mask, self.contract.labels))
        right, folding = self.contract.has_topology(shapes), folding_voxels(field)
        return _Deformed(share, field, reached, read, mask, shapes, right, folding)


def outputs_of(model, image):
    """What a network gives for a cube.

    Args:
        model: Keras model.
        image: `(size, size, size)`.

    Returns:
        Dict of arrays with a batch axis; of a U-Net `mask` alone.

    Raises:
        UserError: If a number of them is not finite.
    """
    answer = model.predict_on_batch({"image": np.asarray(image, "float32")[None, ..., None]})
    answer = answer if isinstance(answer, dict) else {"mask": answer}
    return {
        name: check_finite(keras.ops.convert_to_numpy(value), f"the network's {name}") for name, value in answer.items()
    }


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


def _read(parts, places):
    """Each of several arrays at places in voxels, `(..., parts)`."""
    places = np.moveaxis(places, -1, 0)
    return np.stack([map_coordinates(part, places, order=1, mode="nearest") for part in parts], axis=-1)


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
