"""Overlap of soft segmentations."""

import keras
from keras import ops


def dice_loss(fixed, moved):
    """One minus the mean soft Dice over labels.

    Formula: `1 - mean_l 2 sum(f_l m_l) / sum(f_l + m_l)`; a label in neither counts as 0.

    Args:
        fixed: Tensor `(batch, i, j[, k], labels)` of probabilities.
        moved: Tensor of the same shape.

    Returns:
        Tensor `(batch,)`, 0 at equality, 1 without overlap.
    """
    axes = tuple(range(1, len(fixed.shape) - 1))
    both = 2.0 * ops.sum(fixed * moved, axis=axes)
    total = ops.sum(fixed + moved, axis=axes)
    return 1.0 - ops.mean(ops.divide_no_nan(both, total), axis=-1)


@keras.saving.register_keras_serializable(package="kerasmorph")
class SegmentationLoss(keras.losses.Loss):
    """`dice_loss` of a mask and logits, and their mean cross-entropy, for `compile`.

    The thesis has Dice alone (eq. 3.1), whose gradient vanishes once a network finds nothing anywhere: the
    small network on simulated kidneys was stuck there from its second epoch on.

    Call arguments:
        y_true: Mask, `(batch, i, j[, k], labels)`, in [0, 1].
        y_pred: Logits of the same shape.

    Reference:
        - Bertrand, thesis, 2019, section 3.3.1; Isensee et al., nnU-Net, 2021 (the sum).
    """

    def call(self, y_true, y_pred):
        mask, logits = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        entropy = ops.softplus(logits) - mask * logits
        axes = tuple(range(1, len(logits.shape)))
        return dice_loss(mask, ops.sigmoid(logits)) + ops.mean(entropy, axis=axes)
