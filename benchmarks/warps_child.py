"""One side of `benchmarks.warps`, in a process of its own: registers a pair (not surfa), moves image and labels itself.

Arguments: side, moving image, its labels, fixed image, folder of results, which gets the transforms as well.
"""

import io
import shutil
import sys


def greedy(moving, labels, fixed, folder):
    from picsl_greedy import Greedy3D

    def run(words):
        Greedy3D().execute(f"{words} -threads 1", io.StringIO())

    run(f"-a -i {fixed} {moving} -m NCC 2x2x2 -n 40x20x10 -ia-image-centers -o {folder}/affine.mat")
    run(f"-i {fixed} {moving} -it {folder}/affine.mat -m NCC 2x2x2 -n 40x20x5 -o {folder}/warp.nii.gz")
    run(
        f"-rf {fixed} -rm {moving} {folder}/moved.nii.gz -ri NN -rm {labels} {folder}/moved_labels.nii.gz "
        f"-r {folder}/warp.nii.gz {folder}/affine.mat"
    )


def ants(moving, labels, fixed, folder):
    import ants

    images = [ants.image_read(path) for path in (fixed, moving)]
    done = ants.registration(*images, "SyN", outprefix=f"{folder}/ants_")
    warp, affine = done["fwdtransforms"]
    shutil.copy(warp, f"{folder}/warp.nii.gz")
    shutil.copy(affine, f"{folder}/affine.mat")
    for source, interpolator, name in ((moving, "linear", "moved"), (labels, "nearestNeighbor", "moved_labels")):
        image = ants.apply_transforms(images[0], ants.image_read(source), [warp, affine], interpolator)
        ants.image_write(image, f"{folder}/{name}.nii.gz")


def surfa(moving, labels, fixed, folder):
    """FreeSurfer's own library, by the RAS displacement that `folder` has."""
    import surfa

    image, map_, target = (surfa.load_volume(path) for path in (moving, labels, fixed))
    vectors = surfa.load_volume(f"{folder}/warp.mgz").data
    warp = surfa.Warp(vectors, source=image.geom, target=target.geom, format=surfa.Warp.Format.disp_ras)
    warp.transform(image, method="linear").save(f"{folder}/moved.nii.gz")
    warp.transform(map_, method="nearest").save(f"{folder}/moved_labels.nii.gz")


if __name__ == "__main__":
    {"greedy": greedy, "ants": ants, "surfa": surfa}[sys.argv[1]](*sys.argv[2:])
