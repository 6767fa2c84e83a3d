"""What the command line must know of a system before it is used: nothing heavy is imported for it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class About:
    """A system at first sight.

    Args:
        line: What its task does, for `--help`.
        system, config, contract, steps, predictor: `module:name` of its classes; the last two import Keras.
        trainings: Dict from the actions that train, of which the first is the default, to a line of help.
        actions: Likewise, what else `python main.py TASK` can do.
        options: Names of `app.tasks.options.OPTIONS` that its task takes.
    """

    line: str
    system: str
    config: str
    contract: str
    steps: str
    predictor: str
    trainings: dict
    actions: dict = dataclasses.field(default_factory=dict)
    options: tuple = ()
