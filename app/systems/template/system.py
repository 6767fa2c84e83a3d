"""Template deformation: segment by deforming a template with a predicted global and local transform."""

import dataclasses

import numpy as np

from app.errors import UserError
from app.systems.masks.cohort import POPULATIONS, simulated_counts
from app.systems.masks.system import MaskSystem
from app.systems.template.file import read_template, write_template
from app.systems.template.shape import find_template
from app.training.run_folder import RunFolder
from segmentation.template import Template

TEMPLATE = "template.nii.gz"  # in the run folder


class TemplateDeformation(MaskSystem):
    """The system of the task `template`; the `facts` of its cohorts are the `Template`, or None where the run folder
    has it already."""

    free_keys = ("refinement_steps", "largest_component", "surface", "data.nan")
    unsearched = ("template", "refinement_steps", "largest_component", "surface")

    def populations(self, config):
        """See `MaskSystem.populations`."""
        return POPULATIONS

    def check(self, config, action=None):
        """See `System.check`."""
        if config.data.phantom is not None and not sum(simulated_counts(config.data).values()):
            raise UserError("data.phantom: no volume is left to train on; raise adults or children, or data.split")

    def checked_parts(self, config, parts, path):
        """See `MaskSystem.checked_parts`."""
        if not parts["train"]:
            raise UserError(f"{path}: no volume is left to train on; change data.split or add subjects")
        return super().checked_parts(config, parts, path)

    def read(self, config, parts):
        """See `System.read`."""
        cohort = super().read(config, parts)
        begun = (config.output / TEMPLATE).is_file() and RunFolder(config.output).config.is_file()
        template = None if begun else find_template(config, cohort.loaded["train"])
        return dataclasses.replace(cohort, facts=template)

    def stand_in(self, config, scratch):
        """See `System.stand_in`: a template that is still to be built costs as much as any other."""
        shape, data = config.template, config.data
        if shape.file is not None or shape.kind == "mask":
            template = find_template(config, [])
        else:
            labels, members = tuple(data.labels or (1,)), shape.members if shape.kind == "bank" else 1
            noise = np.ones((members, *[data.size] * 3, len(labels)), "float32")
            template = Template(noise, data.spacing_mm, labels)
        return dataclasses.replace(super().stand_in(config, scratch), facts=template)

    def question(self, run, config):
        """See `System.question`."""
        return dataclasses.replace(super().question(run, config), facts=kept_template(run.folder, config))

    def describe(self, config, cohort):
        """See `System.describe`."""
        known = cohort.facts is not None and (cohort.parts or config.template.file or config.template.mask)
        return [cohort.line, *([f"template: {cohort.facts.topologies()[0]}"] if known else [])]

    def check_inputs(self, volumes, points=None):
        """See `System.check_inputs`."""
        if points is not None and len(volumes) > 1:
            raise UserError("--points: they lie in one volume; give one --input of one volume")

    def build(self, config, to, dry_run=False):
        """Build a template and write it.

        Args:
            config: `TemplateConfig`.
            to: Folder.
            dry_run: Check and print only.

        Raises:
            UserError: If the config has a template already, or the masks give none.
        """
        if config.template.file is not None:
            raise UserError("template.file: names a template that is built already; remove the key to build one")
        if config.template.kind == "mask":
            template = find_template(config, [])
        elif dry_run and config.data.phantom is not None:
            return print(f"would simulate a cohort and build a template into {to}; nothing was written")
        else:
            parts = self.deal(config, config.output / "phantoms")
            template = find_template(
                config, super().read(config, {**parts, "validate": [], "test": []}).loaded["train"]
            )
        if dry_run:
            return print(f"would write a template of {template.topologies()[0]} into {to}; nothing was written")
        write_template(to / TEMPLATE, template)
        voxels = [int(np.sum(distances > 0)) for distances in np.moveaxis(template.distances[0], -1, 0)]
        millilitres = ", ".join(f"{count * template.spacing_mm**3 / 1000:.1f} ml" for count in voxels)
        print(f"{to / TEMPLATE}: {len(template.distances)} templates, {millilitres}; {template.topologies()[0]}")


def kept_template(folder, config):
    """The template of a run folder.

    Args:
        folder: `RunFolder`.
        config: `TemplateConfig`.

    Returns:
        `Template`.

    Raises:
        UserError: If the file is missing or damaged.
    """
    return read_template(folder.path / TEMPLATE, config.data.size, config.data.spacing_mm)
