"""Registration: cohorts of images, and what a network that registers their pairs takes."""

import dataclasses
import math

from app.data.split import split_cohort
from app.errors import UserError, list_problems
from app.systems.registration.cache import SubjectCache
from app.systems.registration.checks import check_cohort
from app.systems.registration.cohort import PAIR, cohort_label_names, draw_pairs, read_cohort
from app.systems.registration.cost import hypermorph_cost, register_bytes
from app.systems.system import Cohort, Question, System
from app.training.cost import check_memory
from app.training.split_file import read_split
from nets.registration.hyper_parameter import HyperParameter, check_names

SIMULATED_BYTES = 64  # per voxel while a brain is simulated
FEW = 2  # simulated brains with which a dry run measures
SIMULATED = (
    "Simulated data: the model's images come from a random generator. Nothing here is evidence of accuracy on patients."
)
SIMILARITY_OF = {"ncc_window": "ncc", "nmi_bins": "nmi"}  # what a hyper-parameter acts on


@dataclasses.dataclass(frozen=True)
class Images:
    """What is known of a cohort's images.

    Args:
        data: Section of the config, `CohortConfig`; a simulated cohort is named in it.
        summary: `CohortSummary`.
        names: Dict from label value to name.
        subjects: How many there are.
    """

    data: object
    summary: object
    names: dict
    subjects: int


@dataclasses.dataclass(frozen=True)
class Measurement:
    """How pairs are measured.

    Args:
        cache: `SubjectCache`.
        values: List of tuples of hyper-parameter values.
        labels: Names of the structures.
        spacing_mm: Voxel size.
        note: First line of the report, or None.
    """

    cache: object
    values: list
    labels: list
    spacing_mm: tuple
    note: str | None = None


class RegistrationSystem(System):
    """The system of the task `hypermorph`; the `facts` of its cohorts are `Images`."""

    free_keys = ("output", "evaluation", "data.cache_gib", "data.nan")
    memory_keys = "data.shape, training.batch_size, network.encoder, decoder, final and units"
    objectives = ("loss", "validation_dice")
    objective_needs = "label files"
    unsearched = ("evaluation",)

    def cost(self, config, cohort=None):
        """Of a `nets.registration.hypermorph.HyperMorph`; of its weights alone where no shape is known. See
        `System.cost`."""
        if cohort is not None:
            return hypermorph_cost(config, cohort.facts.summary.shape)
        return hypermorph_cost(config, config.data.shape or (config.data.phantom and config.data.phantom.shape))

    def check(self, config, action=None):
        """See `System.check`."""
        hyper_parameters(config)
        data = config.data
        given = [key for key in ("cohort", "images", "phantom") if getattr(data, key) is not None]
        if len(given) != 1:
            raise UserError(f"data: give one of cohort, images and phantom; given: {', '.join(given) or 'none'}")
        if data.phantom is not None:
            data.split.counts(data.phantom.subjects)
            check_memory(SIMULATED_BYTES * math.prod(data.phantom.shape), "data.phantom.shape")

    def deal(self, config, phantoms):
        """See `System.deal`."""
        if config.data.phantom is not None:
            from app.data.phantoms.brains import write_brains

            write_brains(phantoms, config.data.phantom)
        subjects = read_cohort(_named(config.data, phantoms))
        return _dealt(subjects, config)

    def rows(self, parts):
        """See `System.rows`."""
        return [{"part": part, "subject": subject.name} for part in parts for subject in parts[part]]

    def read(self, config, parts):
        """See `System.read`: every file is checked; images are read again when they are needed."""
        data = _named(config.data, config.output / "phantoms")
        return _checked(config, data, read_cohort(data), parts)

    def stand_in(self, config, scratch):
        """See `System.stand_in`: of a simulated cohort the first few subjects, each for several."""
        from app.data.phantoms.brains import write_brains

        phantom = config.data.phantom
        write_brains(scratch, phantom.model_copy(update={"subjects": min(FEW, phantom.subjects)}))
        data = _named(config.data, scratch)
        few = read_cohort(data)
        everyone = [
            dataclasses.replace(few[index % len(few)], name=f"phantom-{index:03d}") for index in range(phantom.subjects)
        ]
        return _checked(config, data, few, _dealt(everyone, config), len(everyone))

    def describe(self, config, cohort):
        """See `System.describe`."""
        images, summary, data = cohort.facts, cohort.facts.summary, config.data
        split = ", ".join(f"{name} {len(part)}" for name, part in cohort.parts.items())
        spacing = " x ".join(f"{value:g}" for value in summary.spacing_mm)
        sizes = sorted(summary.shapes)
        shapes = f"shapes from {sizes[0]} to {sizes[-1]}, padded and cropped to {summary.shape}"
        if sizes == [summary.shape]:
            shapes = f"shape {summary.shape}"
        cached = min(data.cache_gib, images.subjects * 5 * math.prod(summary.shape) / 2**30)
        values = config.evaluation.values ** len(config.hyper)
        return [
            f"cohort: {images.subjects} subjects ({split}), {shapes}, spacing {spacing} mm",
            f"labels: {len(summary.structures)} structures {list(summary.structures)}",
            f"generator {config.network.generator}; {cached:.1f} GiB of images kept besides",
            f"after training {values} hyper-parameter values on 2 x {data.pairs} pairs",
        ]

    def evaluation(self, run, config):
        """See `System.evaluation`: the config of the task evaluate as it is."""
        return config

    def question(self, run, config):
        """See `System.question`.

        Subjects are those of the run's own test split, unless the config has a split of its own; images are prepared
        and padded as in training. Subjects that were trained on are named.
        """
        contract = run.contract
        values = list(dict.fromkeys(contract.hyper_vector(chosen) for chosen in config.hyper))
        data, seed = _evaluated_data(run, config)
        split = read_split(run.folder.path)
        subjects = _evaluated(config, read_cohort(data), data, split, seed)
        summary = check_cohort(subjects, data, len(contract.shape))
        check_memory(register_bytes(summary.shape), "data.shape", "lower it, or crop the images")
        names = {**{int(key): name for key, name in contract.structures.items()}, **cohort_label_names(data)}
        pairs = draw_pairs(subjects, data.pairs, config.seed)
        trained_on = _trained_on(subjects, contract.trained_on or split.get("train", ()))
        simulated = SIMULATED if contract.simulated else None
        measurement = Measurement(
            SubjectCache(data, summary.shape, summary.structures), values, label_names(summary, names),
            summary.spacing_mm, " ".join(filter(None, (simulated, trained_on))) or None,
        )  # fmt: skip
        line = f"{len(subjects)} subjects, {len(pairs)} pairs, {len(values)} hyper-parameter values"
        return Question("\n".join(filter(None, (line, trained_on))), pairs, measurement)


def hyper_parameters(config):
    """The learned hyper-parameters of a config.

    Args:
        config: `HyperMorphConfig`.

    Returns:
        List of `HyperParameter`.

    Raises:
        UserError: If they are out of range, named twice or without effect.
    """
    problems, hyper = [], []
    for index, section in enumerate(config.hyper):
        try:
            hyper.append(HyperParameter(**section.model_dump()))
        except ValueError as error:
            problems.append(f"hyper.{index}: {error}")
    names = [section.name for section in config.hyper]
    try:
        check_names(config.hyper, config.objective.terms)
    except ValueError as error:
        problems.append(f"hyper: {error}")
    for name, similarity in SIMILARITY_OF.items():
        if name in names and config.objective.similarity != similarity:
            problems.append(f"hyper: {name} acts on objective.similarity: {similarity} only; set that or leave it out")
    list_problems(problems)
    return hyper


def uses_labels(config):
    """Whether the loss of a config compares labels.

    Args:
        config: `HyperMorphConfig`.

    Returns:
        Bool.
    """
    return config.objective.gamma > 0 or any(section.name == "gamma" for section in config.hyper)


def label_names(summary, names):
    """Names of a cohort's structures, in order.

    Args:
        summary: `CohortSummary`.
        names: Dict from label value to name.

    Returns:
        List of strings.
    """
    return [names.get(value, f"label {value}") for value in summary.structures]


def _named(data, phantoms):
    """The data section with a simulated cohort named in it."""
    return data if data.phantom is None else data.model_copy(update={"cohort": phantoms / "cohort.csv"})


def _dealt(subjects, config):
    parts = split_cohort(subjects, config.data.split, config.seed, PAIR)
    list_problems([
        f"data.split: {name} needs {PAIR} subjects or more, has {len(part)} of the cohort's {len(subjects)}; "
        "raise its share or add subjects"
        for name, part in parts.items()
        if len(part) < PAIR
    ])  # fmt: skip
    return parts


def _checked(config, data, subjects, parts, total=None):
    summary = check_cohort(subjects, data, config.network.rank)
    if uses_labels(config) and not summary.structures:
        raise UserError("gamma weighs labels, but the cohort has no label files; add them or leave gamma out")
    line = f"{total or len(subjects)} subjects {summary.shape}, {len(summary.structures)} structures"
    images = Images(data, summary, cohort_label_names(data), total or len(subjects))
    return Cohort(parts, {}, line, images)


def _evaluated_data(run, config):
    """The cohort to evaluate on, its images prepared as those of the training, and the seed that deals it."""
    data, seed = config.data, config.seed
    if data is None:
        if not run.config_file.is_file():
            raise UserError(
                f"data: missing, and {run.config_file}, which would name the model's own cohort, is not there; add it"
            )
        trained = run.config()
        data, seed = _named(trained.data, run.folder.path / "phantoms"), trained.seed
        data = data.model_copy(update={"phantom": None})
    if data.phantom is not None:
        raise UserError("data.phantom: evaluate reads files; give the cohort.csv of a run's phantoms folder")
    rule = run.contract.intensity.model_dump()
    return data.model_copy(update={**rule, "shape": data.shape or run.contract.shape}), seed


def _evaluated(config, subjects, data, split, seed):
    """Subjects of the config's own split, else of the run's, else all."""
    if config.subjects != "all":
        if (config.data is not None and "split" in config.data.model_fields_set) or not split:
            subjects = split_cohort(subjects, data.split, seed, PAIR)[config.subjects]
        else:
            chosen = set(split.get(config.subjects, ()))
            subjects = [subject for subject in subjects if subject.name in chosen]
    if len(subjects) < PAIR:
        raise UserError(
            f"data: {len(subjects)} subjects to evaluate ({config.subjects}), {PAIR} or more are needed; for another "
            "cohort than the model's set subjects: all"
        )
    return subjects


def _trained_on(subjects, trained):
    """A line that names the subjects which the model was trained on, or None."""
    known = [subject.name for subject in subjects if subject.name in set(trained)]
    if not known:
        return None
    listed = ", ".join(known[:5]) + (" ..." if len(known) > 5 else "")
    return (
        f"note: {len(known)} of the {len(subjects)} subjects have names that the model was trained on ({listed}): "
        "their figures are no evidence for new subjects"
    )
