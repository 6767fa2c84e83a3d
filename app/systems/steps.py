"""What the flows ask of a system once Keras is loaded: how its network is trained, and how it is applied."""

import dataclasses


class Steps:
    """Base of the steps that build and train a network; one object per training or search.

    Args:
        config: Of the system.
        cohort: `Cohort`.
        folder: `RunFolder`; None within a search or a dry run.
    """

    trains = True  # False where nothing is fitted

    def __init__(self, config, cohort, folder=None):
        self.config, self.cohort, self.folder = config, cohort, folder

    @property
    def objectives(self):
        """Names of what is reported every epoch."""
        return ("loss",)

    def build(self, config):
        """The network of a config, not compiled; within a search its values differ from `self.config`."""
        raise NotImplementedError

    def compile(self, config, model):
        """Give a network its optimiser and its loss."""
        raise NotImplementedError

    def batches(self, config, first_epoch=0):
        """The training batches, a `PyDataset` with a `seed`; the same for the same seed, epoch and step."""
        raise NotImplementedError

    def validate(self, config, model):
        """Measure the validation subjects: dict of numbers; empty where there are none."""
        return {}

    def finish(self, model):
        """What a trained network is kept with.

        Args:
            model: Keras model.

        Returns:
            The system's contract.
        """
        raise NotImplementedError

    def evaluate(self, predictor, history):
        """Measure the test subjects, with what only a training knows.

        Args:
            predictor: `Predictor` of the trained network.
            history: List of dicts, one per epoch.

        Returns:
            `Evaluation`.
        """
        raise NotImplementedError


class Predictor:
    """Base of what applies a trained network.

    Args:
        model: Keras model.
        contract: Of the system.
        config: Of the system: what of it acts after the training.
    """

    def __init__(self, model, contract, config):
        self.model, self.contract, self.config = model, contract, config

    def evaluate(self, question):
        """Measure a `Question`; an `Evaluation`."""
        raise NotImplementedError

    def saver(self, to, **options):
        """Function from an `app.data.inputs.Input` to rows of the table of predictions; it writes the prediction."""
        raise NotImplementedError

    def endpoints(self):
        """`app.export.saved_model.Endpoint` of each signature of the SavedModel, as a dict."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was measured, and how it is shown.

    Args:
        metrics: Content of `metrics.json`.
        rows: Lines of the table.
        title: Of the report.
        line: One for the terminal.
        sections: Function that adds the system's sections to an `app.reporting.html.Report`.
        note: First line of the report, which the reader must not miss; None without.
        problems: Guarantees that were broken, as errors.
        table: Name of the file of the rows.
    """

    metrics: dict
    rows: list
    title: str
    line: str
    sections: object
    note: str | None = None
    problems: tuple = ()
    table: str = "volumes.csv"
