"""Its network: three lines, and what is done with it."""

import keras
import numpy as np

from app.data.cube import cube_grid, from_cube, to_cube
from app.data.volume import Volume
from app.data.write import write_volume
from app.export.saved_model import Endpoint
from app.systems.masks.cohort import read_mask
from app.systems.masks.metrics import case_row, summarise, summary_line
from app.systems.masks.steps import MaskSteps
from app.systems.steps import Evaluation, Predictor
from app.training.optimizer import adam
from nets.losses.dice import SegmentationLoss
from nets.segmentation_unet import SegmentationUNet
from tests.systems.seventh.system import BrightnessContract


class BrightnessSteps(MaskSteps):
    """How it is trained."""

    def build(self, config):
        return SegmentationUNet(filters=(2, 3))

    def compile(self, config, model):
        model.compile(adam(config.training, len(self.batches(config))), SegmentationLoss(), jit_compile=False)

    def dice(self, model, cubes):
        return float(np.mean([np.mean(cube.mask) for cube in cubes]))

    def finish(self, model):
        return BrightnessContract(**self.kept)

    def evaluate(self, predictor, history):
        return predictor.measured(self.cohort.parts["test"])


class BrightnessPredictor(Predictor):
    """What is done with it."""

    def __call__(self, volume):
        grid = cube_grid(volume, self.contract.size, self.contract.spacing_mm)
        cube = self.contract.intensity.unit_range(to_cube(volume, grid))[None, ..., None]
        logits = keras.ops.convert_to_numpy(self.model.predict_on_batch({"image": cube}))[0, ..., 0]
        return from_cube(logits, grid, volume, outside=-10.0) > 0

    def measured(self, cases):
        rows = []
        for case in cases:
            image = case.volume()
            rows.append(case_row(case, self(image), read_mask(case, image)[..., 0], image.affine))
        summary = summarise(rows)
        return Evaluation(
            summary,
            rows,
            "Brightness",
            summary_line(summary),
            lambda report: report.figure("one", _figure(rows), "Dice"),
        )

    def evaluate(self, question):
        return self.measured(question.cases)

    def saver(self, to):
        def save(volume):
            image = volume.volume()
            mask = self(image)
            write_volume(to / f"{volume.name}_mask.nii.gz", Volume(mask.astype("uint8"), image.affine))
            return [{"volume": volume.name, "voxels": int(mask.sum())}]

        return save

    def endpoints(self):
        def segment(image):
            return {"logits": self.model({"image": image}, training=False)}

        shape = (*(self.contract.size,) * 3, 1)
        return {"segment": Endpoint(segment, {"image": (None, *shape)}, {"image": np.ones((2, *shape), "float32")})}


def _figure(rows):
    from app.reporting.figures import new_figure

    figure, axis = new_figure()
    axis.plot([row["dice"] for row in rows], "o")
    return figure
