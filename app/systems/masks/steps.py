"""How the networks of `kidney` and `template` are trained."""

from app.systems.masks.batches import CubeBatches
from app.systems.steps import Steps


class MaskSteps(Steps):
    """Cubes of a cohort in memory; see `Steps`.

    Reports `loss` (and its parts), and with validation volumes `validation_dice`, the mean Dice of their masks.
    """

    @property
    def objectives(self):
        """See `Steps.objectives`."""
        return ("loss", *(["validation_dice"] if self.cohort.loaded["validate"] else []))

    def compared(self, config):
        """Names of the network's outputs that are compared with the masks; see `CubeBatches`."""
        return ()

    def batches(self, config, first_epoch=0):
        """See `Steps.batches`."""
        return CubeBatches(
            self.cohort.loaded["train"], config.training.batch_size, config.seed, config.augmentation, first_epoch,
            self.compared(config),
        )  # fmt: skip

    def validate(self, config, model):
        """See `Steps.validate`."""
        return {"validation_dice": self.dice(model, self.cohort.loaded["validate"])}

    def dice(self, model, cubes):
        """Mean Dice of masks on their cubes."""
        raise NotImplementedError

    @property
    def kept(self):
        """What the contracts of both systems have in common."""
        data = self.config.data
        return {
            "size": data.size,
            "spacing_mm": data.spacing_mm,
            "intensity": data.intensity_rule,
            "orientation": "RAS",  # of every cube
            "trained_on": tuple(dict.fromkeys(case.subject for case in self.cohort.parts["train"])),
        }
