"""The registration loss and the hyper-parameters in it."""

import dataclasses
import math

from keras import ops

from nets.losses import dice_loss, gradient_penalty, mi_loss, mse_loss, ncc_loss, nmi_loss
from nets.ops.sample import sample
from nets.registration.terms import TERMS, term

SIMILARITIES = ("ncc", "mse", "nmi", "mi")


@dataclasses.dataclass(frozen=True)
class Objective:
    """Similarity, smoothness, with labels overlap (the paper's equations 2 and 3), and further weighted terms.

    `(1 - lambda)(1 - gamma) similarity + lambda smoothness + (1 - lambda) gamma overlap + sum of weight term`.

    Every hyper-parameter has a fixed value here, which a network's `hyper` input replaces.

    Args:
        similarity: "ncc" (local), "mse", "nmi" (across contrasts) or "mi" (VoxelMorph's).
        lambda_: Weight of smoothness, in [0, 1].
        gamma: Weight of overlap against similarity, in [0, 1].
        ncc_window: Width of the box of the local NCC, in voxels.
        nmi_bins: Number of histogram bins of the NMI.
        image_sigma: Noise of the images, for "mse".
        smoothness_scale: Factor of the smoothness term. 2, VoxelMorph's, for a velocity at
            half resolution.
        labels: Number of labels of the overlap term; 0 where there is none.
        terms: Dict from a name in `nets.registration.terms.TERMS` to its weight.

    Raises:
        ValueError: If the similarity or a term is unknown.
    """

    similarity: str = "ncc"
    lambda_: float = 0.5
    gamma: float = 0.0
    ncc_window: float = 9
    nmi_bins: float = 32
    image_sigma: float = 0.05
    smoothness_scale: float = 2.0
    labels: int = 0
    terms: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.similarity not in SIMILARITIES:
            raise ValueError(
                f"Received an invalid value for `similarity`, expected one of {SIMILARITIES}. "
                f"Received: similarity={self.similarity}"
            )
        if not set(self.terms) <= set(TERMS):
            raise ValueError(f"Expected terms among {', '.join(TERMS)}. Received: terms={', '.join(self.terms)}")

    def __call__(self, fixed, outputs, labels=None, hyper=None, highest=None):
        """Loss of a batch and its parts.

        Args:
            fixed: Tensor `(batch, i, j[, k], 1)`.
            outputs: The network's dict: `moved`, `displacement`, `velocity`.
            labels: Dict of `moving_labels` and `fixed_labels`, integer tensors
                `(batch, i, j[, k], 1)`, 0 for what is not compared; needed where gamma acts.
            hyper: Dict from a hyper-parameter's name to a tensor `(batch,)`.
            highest: Dict from a name to its highest value (the NMI needs to know how many
                bins there can be).

        Returns:
            Dict of tensors `(batch,)`: `loss`, `similarity`, `smoothness`, with labels `overlap`, and each of the
            further terms.
        """
        hyper = hyper or {}
        weight = hyper.get("lambda", self.lambda_)
        gamma = hyper.get("gamma", self.gamma)
        parts = {
            "similarity": self._similarity(fixed, outputs["moved"], hyper, highest or {}),
            "smoothness": self.smoothness_scale * gradient_penalty(outputs["velocity"]),
        }
        matching = parts["similarity"]
        if self.labels:
            parts["overlap"] = self._overlap(labels, outputs["displacement"])
            matching = (1.0 - gamma) * matching + gamma * parts["overlap"]
        loss = (1.0 - weight) * matching + weight * parts["smoothness"]
        for name, fixed_weight in self.terms.items():
            parts[name] = term(name)(outputs["velocity"])
            loss = loss + hyper.get(name, fixed_weight) * parts[name]
        return {"loss": loss, **parts}

    def _similarity(self, fixed, moved, hyper, highest):
        if self.similarity == "mse":
            return mse_loss(fixed, moved, self.image_sigma)
        if self.similarity == "mi":
            return mi_loss(fixed, moved)
        if self.similarity == "nmi":
            max_bins = math.ceil(highest.get("nmi_bins", self.nmi_bins))
            return nmi_loss(fixed, moved, hyper.get("nmi_bins", self.nmi_bins), max_bins)
        return ncc_loss(fixed, moved, hyper.get("ncc_window", self.ncc_window))

    def _overlap(self, labels, displacement):
        # At half resolution, as VoxelMorph's semi-supervised training: an eighth of the memory.
        halve = (slice(None), *[slice(None, None, 2)] * (len(displacement.shape) - 2))
        moving, fixed = (
            ops.one_hot(ops.cast(labels[name][halve][..., 0], "int32"), self.labels + 1)[..., 1:]
            for name in ("moving_labels", "fixed_labels")
        )
        return dice_loss(fixed, sample(moving, displacement[halve] / 2.0))
