"""Contracts for tests: those of small networks, with the default rule for intensities."""

from app.data.intensity import IntensityRule
from app.systems.kidney.contract import KidneyContract
from app.systems.template.contract import TemplateContract
from segmentation.topology import Topology


def template_contract(transform="none", size=16, spacing_mm=4.0, labels=(1,), **changes):
    """That of a template of whole structures."""
    topologies = (Topology(1, 0, 0),) * (len(labels) + (len(labels) > 1))
    values = {"topologies": topologies, "diffeomorphic": True, "intensity": IntensityRule(), **changes}
    return TemplateContract(transform=transform, size=size, spacing_mm=spacing_mm, labels=labels, **values)


def kidney_contract(size=16, spacing_mm=4.0, strategy="source", **changes):
    """That of a network of the kidney's."""
    values = {"intensity": IntensityRule(), **changes}
    return KidneyContract(size=size, spacing_mm=spacing_mm, strategy=strategy, **values)
