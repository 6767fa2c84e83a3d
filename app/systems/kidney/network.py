"""The networks of the task `kidney`: built, adapted, trained, applied."""

import dataclasses

import keras
import numpy as np
from scipy.ndimage import label

from app.data.cube import cube_grid, from_cube, to_cube
from app.export.saved_model import Endpoint
from app.finite import check_finite
from app.systems.kidney.contract import KidneyContract
from app.systems.kidney.report import evaluation_of
from app.systems.kidney.source import descriptions, load_source, network_images, read_population, write_population
from app.systems.kidney.write import save_mask
from app.systems.masks.steps import MaskSteps
from app.systems.steps import Predictor
from app.training.optimizer import adam
from app.training.run_folder import log
from nets.losses.dice import SegmentationLoss
from nets.segmentation_unet import SegmentationUNet
from transfer.adapted_unet import AdaptedUNet
from transfer.population_gate import fit_gate
from transfer.start_pose import start_pose
from transfer.strategies import adapt_statistics, added_parameters, start
from transfer.strategy import STRATEGIES

SEARCHED = 10  # training volumes on which a pose to begin with is searched


class KidneySteps(MaskSteps):
    """See `Steps`."""

    def __init__(self, config, cohort, folder=None):
        super().__init__(config, cohort, folder)
        self.strategy = STRATEGIES[config.strategy]
        self.trains = self.strategy.trains != "statistics"
        self.source, self.source_contract = load_source(config) if config.source else (None, None)

    def build(self, config):
        """See `Steps.build`."""
        cubes = self.cohort.loaded["train"]
        if self.source is None:
            return SegmentationUNet(**config.network.model_dump())
        model = start(self.strategy, self.source, config.layers)
        if not self.trains:
            adapt_statistics(model, network_images(cubes))
        if isinstance(model, AdaptedUNet):
            if "geometric" in self.strategy.added:
                log("searching a pose to begin with, the same for all volumes")
                pairs = _searched(cubes, config.training.batch_size)
                start_pose(model, model.get_layer("added_geometric"), pairs, lambda dice: log(f"  Dice {dice:.3f}"))
            model.standardise(network_images(cubes))
            if "gate" in self.strategy.added:
                seen = descriptions(self.source, cubes)
                known = read_population(config.source, seen.shape[1])
                model.get_layer("gate").decide_by(*fit_gate(*known, seen))
        return model

    def compile(self, config, model):
        """See `Steps.compile`."""
        rate = adam(config.training, len(self.batches(config)))
        model.compile(rate, SegmentationLoss(), jit_compile=keras.backend.backend() == "jax")

    def dice(self, model, cubes):
        """See `MaskSteps.dice`."""
        return dice_of(model, cubes)

    def finish(self, model):
        """See `Steps.finish`; a network of the source population keeps how that looks, for a later gate."""
        own = [cube for cube in self.cohort.loaded["train"] if cube.case.population == "source"]
        if own and self.source is None:
            write_population(self.folder.path, model, own)
        simulated = self.config.data.phantom is not None or bool(
            self.source_contract and self.source_contract.simulated
        )
        return KidneyContract(strategy=self.config.strategy, simulated=simulated, **self.kept)

    def evaluate(self, predictor, history):
        """See `Steps.evaluate`: beside the network that a transfer started from."""
        parameters = (self.source or predictor.model).count_params()
        counts = {
            "strategy": self.config.strategy,
            "parameters": parameters,
            "added_parameters": added_parameters(predictor.model),
        }
        before = KidneyPredictor(self.source, predictor.contract, self.config) if self.source else None
        return evaluation_of(predictor, self.cohort.parts["test"], history, counts, before)


class KidneyPredictor(Predictor):
    """Segments volumes; see `Predictor`."""

    def __call__(self, volume, name=None):
        """A volume's `Segmentation`; see `segment`."""
        return segment(self.model, self.contract, volume, self.config.largest_component, name)

    def evaluate(self, question):
        """See `Predictor.evaluate`."""
        return evaluation_of(self, question.cases)

    def saver(self, to):
        """See `Predictor.saver`."""
        return lambda volume: save_mask(volume, self, to)

    def adaptation(self, cube):
        """How an adapted network takes a volume; see `adaptation`."""
        return adaptation(self.model, cube)

    def endpoints(self):
        """See `Predictor.endpoints`: `segment` takes `image` `(batch, i, j, k, 1)` in [0, 1], as `app.data.cube` makes
        it, sizes divisible by 8, and gives `probability` of the same shape."""

        def segment(image):
            return {"probability": keras.ops.sigmoid(self.model({"image": image}, training=False))}

        sample = np.random.default_rng(0).random((2, *(self.contract.size,) * 3, 1), dtype="float32")
        return {"segment": Endpoint(segment, {"image": (None, None, None, None, 1)}, {"image": sample})}


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What a network makes of a volume.

    Args:
        mask: On the volume's grid, bool.
        volume_ml: Of the mask.
        components: Parts of the mask that do not touch.
        cube: As the network saw it, `(size, size, size)`.
    """

    mask: np.ndarray
    volume_ml: float
    components: int
    cube: np.ndarray


def dice_of(model, cubes):
    """Mean Dice of masks on their cubes.

    Args:
        model: Keras model.
        cubes: List of `CubeCase`.

    Returns:
        Float.
    """
    masks = [logits_of(model, cube.image) > 0 for cube in cubes]
    pairs = zip(masks, (cube.mask[..., 0] for cube in cubes), strict=True)
    return float(np.mean([2 * np.sum(a & b) / max(a.sum() + b.sum(), 1) for a, b in pairs]))


def logits_of(model, image):
    """Logits of one cube.

    Args:
        model: Keras model.
        image: `(size, size, size)`.

    Returns:
        Array of the same shape, float32.
    """
    volume = np.asarray(image, "float32")[None, ..., None]
    logits = keras.ops.convert_to_numpy(model.predict_on_batch({"image": volume}))[0, ..., 0]
    return check_finite(logits, "the network's mask")


def segment(model, contract, volume, largest_component=False, name=None):
    """A volume's mask, on its own grid.

    Args:
        model: Keras model.
        contract: `KidneyContract`.
        volume: `Volume`.
        largest_component: Whether only the largest part of the mask is kept.
        name: Of its file, for a note where few intensities are left.

    Returns:
        `Segmentation`.

    Raises:
        UserError: If the volume cannot be brought to the network's cube.
    """
    grid = cube_grid(volume, contract.size, contract.spacing_mm)
    cube = contract.intensity.unit_range(to_cube(volume, grid), name)
    mask = from_cube(logits_of(model, cube), grid, volume, outside=-10.0) > 0
    parts, count = label(mask)
    if largest_component and count > 1:
        mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
        count = 1
    millilitres = float(mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000)
    return Segmentation(mask, millilitres, count, cube)


def adaptation(model, cube):
    """How an adapted network takes a volume.

    Args:
        model: Keras model.
        cube: As `segment` returns it.

    Returns:
        Probability of the target population, None without a gate; pose (translations in voxels of the cube, angles
        in degrees, scales), None without a geometric layer or where the gate leaves the volume alone.

    Raises:
        UserError: If a number of them is not finite.
    """
    probability, pose = None, None
    if isinstance(model, AdaptedUNet):
        settings, image = model.get_config(), cube[None, ..., None]
        if settings["gate"]:
            answer = keras.ops.convert_to_numpy(model.get_layer("gate").probability(image))
            probability = float(check_finite(answer, "the network's probability of the target population")[0, 0])
        if settings["geometric"] and (probability is None or probability > 0.5):
            poses = check_finite(keras.ops.convert_to_numpy(model.poses(image)), "the network's pose")
            pose = [round(float(number), 4) for number in poses[0]]
    return probability, pose


def _searched(cubes, batch_size):
    """Images and masks of some training volumes, from all over the list, in batches."""
    chosen = [cubes[at] for at in np.linspace(0, len(cubes) - 1, min(SEARCHED, len(cubes))).round().astype(int)]
    images, masks = (np.stack([getattr(cube, part) for cube in chosen]) for part in ("image", "mask"))
    starts = range(0, len(chosen), batch_size)
    return [(images[at : at + batch_size, ..., None].astype("float32"), masks[at : at + batch_size]) for at in starts]
