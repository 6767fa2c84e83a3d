"""Trials of the tasks `kidney` and `template`: what a search trains and measures."""

from app.data.cube_batches import CubeBatches
from app.training.callbacks import ValidateOverHyper


class CubeTrials:
    """Volumes of a cohort in memory, for the trials of a search.

    Reports `loss` (and its parts), and with validation volumes `validation_dice`, the mean Dice of their masks.

    Args:
        loaded: Dict from "train" and "validate" to lists of `CubeCase`.
        build: Function `(config) -> model`, not compiled.
        compile_model: Function `(config, model, steps)`.
        dice_of: Function `(model, cases) -> float`.
        outputs: Function `(config) -> names` of the outputs that are compared with the masks; see `CubeBatches`.
    """

    NEEDS = "validation volumes (data.split.validate)"

    def __init__(self, loaded, build, compile_model, dice_of, outputs):
        self.loaded, self.outputs = loaded, outputs
        self._build, self._compile, self._dice_of = build, compile_model, dice_of

    @property
    def objectives(self):
        """Names of what is reported every epoch."""
        return ["loss", *(["validation_dice"] if self.loaded["validate"] else [])]

    def batches(self, config, first_epoch=0):
        """The training volumes, see `CubeBatches`."""
        return CubeBatches(
            self.loaded["train"], config.training.batch_size, config.seed, config.augmentation, first_epoch,
            self.outputs(config),
        )  # fmt: skip

    def build(self, config):
        """A compiled network of a config."""
        model = self._build(config)
        self._compile(config, model, len(self.batches(config)))
        return model

    def fit(self, config, model, initial_epoch, epochs, callbacks):
        """Train; arguments as of `keras.Model.fit`."""
        if self.loaded["validate"]:
            callbacks = [ValidateOverHyper(self.measure, 1, epochs), *callbacks]
        batches = self.batches(config, initial_epoch)
        model.fit(batches, epochs=epochs, initial_epoch=initial_epoch, callbacks=callbacks, shuffle=False, verbose=0)

    def measure(self, model):
        """Mean Dice on the validation volumes."""
        return {"validation_dice": self._dice_of(model, self.loaded["validate"])}
