"""Local normalised cross-correlation."""

from keras import ops

from nets.ops.separable import box_sum


def ncc_loss(fixed, moved, window=9, epsilon=1e-5):
    """Negative squared local correlation, averaged over voxels.

    Formula: `-mean(max(cross, e)^2 / (max(var_f, e) * max(var_m, e)))`, with sums over a box
    about each voxel, zeros outside, and the box's full size as count: VoxelMorph 0.2's
    `NCC`, in which negative correlation scores like none. The window may be a tensor, one
    value a sample, and need not be an integer: the loss is continuous in it, and a new
    value costs no compilation.

    Args:
        fixed: Tensor `(batch, i, j[, k], channels)`; channels are summed.
        moved: Tensor of the same shape.
        window: Box width in voxels, a number or a tensor `(batch,)`.
        epsilon: Floor of covariance and variances.

    Returns:
        Tensor `(batch,)` from -1 (equal up to local gain and offset) to 0.
    """
    fixed, moved = ops.convert_to_tensor(fixed), ops.convert_to_tensor(moved)
    rank = len(fixed.shape) - 2
    window = ops.cast(window, "float32")
    count = window**rank * fixed.shape[-1]
    if len(count.shape):
        count = ops.reshape(count, [-1] + [1] * rank)
    products = [fixed, moved, fixed * fixed, moved * moved, fixed * moved]
    maps = [ops.sum(product, axis=-1) for product in products]
    batch = ops.shape(maps[0])[0]
    stacked = ops.concatenate(maps, axis=0)[..., None]
    widths = ops.tile(window, [len(maps)]) if len(window.shape) else window
    sums = ops.reshape(box_sum(stacked, widths), (len(maps), batch, *ops.shape(maps[0])[1:]))
    # Slices would each have a gradient of all five maps' size.
    sum_f, sum_m, sum_ff, sum_mm, sum_fm = ops.unstack(sums, len(maps))
    cross = ops.maximum(sum_fm - sum_f * sum_m / count, epsilon)
    variance_f = ops.maximum(sum_ff - sum_f * sum_f / count, epsilon)
    variance_m = ops.maximum(sum_mm - sum_m * sum_m / count, epsilon)
    correlation = (cross / variance_f) * (cross / variance_m)
    return -ops.mean(correlation, axis=tuple(range(1, rank + 1)))
