"""What the systems share that segment volumes on cubes."""

from app.errors import UserError
from app.systems.masks.cohort import (
    cohort_path,
    load_cases,
    read_cases,
    simulated_counts,
    split_cases,
    split_rows,
    stand_ins,
)
from app.systems.system import Cohort, Question, System
from app.training.cost import Cost, unet_cost
from app.training.split_file import check_split


class MaskSystem(System):
    """Base of the systems of the tasks `kidney` and `template`."""

    memory_keys = "data.size, network.filters, training.batch_size"
    objectives = ("loss", "validation_dice")
    objective_needs = "validation volumes (data.split.validate)"
    done = "segmented"

    def cost(self, config, cohort=None):
        """Of a `nets.segmentation_unet.SegmentationUNet`, alone or within a template's network, and of the cubes that
        are kept in memory; see `System.cost`."""
        volumes, structures = self.trained_volumes(config, cohort), len(config.structures or [1])
        voxels = config.data.size**3
        cost = Cost(data=volumes * voxels * (2 + structures))
        if config.network is None:  # a trained one, which fitted into memory before
            return cost
        *widths, lowest = [(width, width) for width in config.network.filters]
        return cost + unet_cost(3, voxels, 1, widths, [lowest, *widths[:0:-1]], widths[0])

    def batch_size(self, config, cohort=None):
        """See `System.batch_size`: every volume is seen once per epoch."""
        return min(config.training.batch_size, self.trained_volumes(config, cohort))

    def trained_volumes(self, config, cohort=None):
        """How many volumes are trained on; arguments as of `cost`. Before a cohort is listed, one."""
        if cohort is not None:
            return len(cohort.loaded["train"])
        if config.data.phantom is None:
            return 1
        counts = simulated_counts(config.data)
        return sum(counts[population] for population in self.populations(config))

    def populations(self, config):
        """Whose volumes are trained on."""
        raise NotImplementedError

    def deal(self, config, phantoms):
        """See `System.deal`."""
        path = cohort_path(config.data, phantoms)
        parts = split_cases(read_cases(path, config.data.nan), config.data.split, config.seed)
        return self.checked_parts(config, parts, path)

    def checked_parts(self, config, parts, path):
        """Those that are used; see `deal`.

        Args:
            config: Of the system.
            parts: Dict from split to a list of `Case`.
            path: The cohort's file, for messages.

        Returns:
            Dict as `parts`.

        Raises:
            UserError: If a part is empty that must not be.
        """
        if not parts["test"]:
            raise UserError(f"{path}: no volume is left for the test; change data.split or add subjects")
        return parts

    def check_parts_memory(self, config, parts):
        """See `System.check_parts_memory`."""
        self.check_memory(config, Cohort(parts, parts, ""))

    def rows(self, parts):
        """See `System.rows`."""
        return split_rows(parts)

    def read(self, config, parts):
        """See `System.read`: those of the test are read too, so that all that is wrong is said before a training."""
        everything = [case for part in parts.values() for case in part]
        cubes = {cube.case: cube for cube in load_cases(everything, config.data, config.structures)}
        loaded = {name: [cubes[case] for case in parts[name]] for name in ("train", "validate")}
        return Cohort(parts, loaded, ", ".join(f"{name} {len(part)} volumes" for name, part in parts.items()))

    def stand_in(self, config, scratch):
        """See `System.stand_in`."""
        cubes = [cube for cube in stand_ins(config.data) if cube.case.population in self.populations(config)]
        return Cohort({}, {"train": cubes, "validate": []}, f"simulated: train {len(cubes)} volumes")

    def question(self, run, config):
        """See `System.question`."""
        parts = self.deal(config, config.output / "phantoms")
        check_split(run.folder, self.rows(parts))
        return Question(f"{len(parts['test'])} test volumes", parts["test"])
