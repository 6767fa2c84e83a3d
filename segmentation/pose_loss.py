"""How far a predicted pose of a template is from the one that the true mask's moments give."""

import keras
import numpy as np
from keras import ops

from nets.ops.affine import parameters_to_affine
from nets.ops.moments import soft_moments
from segmentation.pose import principal_pose, template_axes


@keras.saving.register_keras_serializable(package="kerasmorph")
class PoseLoss(keras.losses.Loss):
    """How far apart two poses put seven points of a template, in voxels, for `compile`.

    The points are its middle and, along each principal axis, those two deviations away to both sides. Moving, turning
    (both at the true scales) and scaling are compared by themselves and added: where turns are uncertain, together
    they would be least far apart for a template that is too small. Without this loss the local field learns sooner
    than the pose, and does its work: the thesis' scales collapsed. Moments of the masks are all that it needs;
    distances are `sqrt(d^2 + 1) - 1`, so that a mask whose axes are drawn wrongly does not outweigh the others.

    Args:
        axes: `(3, 3)`, the template's principal axes in its columns, the longest last.
        variances: `(3,)`, the template's along the axes of the grid, in voxels squared.

    Call arguments:
        y_true: Masks, `(batch, i, j, k, structures)`, in [0, 1].
        y_pred: Parameters, `(batch, 9)`, as `segmentation.pose.PosePredictor` gives them.

    Reference:
        - Bertrand, thesis, 2019, sections 4.6 (the scales) and 4.7.
    """

    def __init__(self, axes, variances, name="pose_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.axes, self.variances = np.array(axes, "float32"), np.array(variances, "float32")
        # Spreads along the principal axes: exact for a template whose axes lie along the grid's, as a mean's do.
        points = 2 * self.axes * np.sqrt(np.sum(self.axes**2 * self.variances[:, None], axis=0))
        self.points = np.concatenate([np.zeros((3, 1)), points, -points], axis=1).astype("float32")

    @classmethod
    def of_template(cls, mask):
        """The loss for a template.

        Args:
            mask: `(i, j, k)`, bool or the share of each voxel that lies inside, its middle in the grid's.
        """
        return cls(*template_axes(mask))

    def call(self, y_true, y_pred):
        mask = ops.max(ops.cast(y_true, "float32"), axis=-1, keepdims=True)
        centre, covariance = (moment[:, 0] for moment in soft_moments(mask)[1:])
        wanted = principal_pose(centre, covariance, self.axes, self.variances)
        found, scales = ops.cast(y_pred, "float32"), ops.exp(wanted[:, 6:])
        points = ops.convert_to_tensor(self.points)
        turns = [parameters_to_affine(ops.concatenate([pose[:, :6], scales], axis=-1)) for pose in (found, wanted)]
        moved = found[:, :3] - wanted[:, :3]
        turned = ops.matmul((turns[0] - turns[1])[:, :, :3], points)
        scaled = (found[:, 6:] - scales)[:, :, None] * points
        return sum(
            ops.mean(ops.sqrt(ops.sum(apart**2, axis=1) + 1.0) - 1.0, axis=-1)
            for apart in (moved[:, :, None], turned, scaled)
        )

    def get_config(self):
        return {**super().get_config(), "axes": self.axes.tolist(), "variances": self.variances.tolist()}
