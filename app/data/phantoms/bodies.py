"""Simulated MR examinations of bodies: whole, in part, or of the spine, on many scanners."""

import nibabel
import numpy as np
from scipy.ndimage import gaussian_filter

from app.data.phantoms.body_anatomy import Body
from app.data.phantoms.body_grid import TISSUE
from app.data.phantoms.folder import cohort_folder
from app.data.volume import Volume
from app.data.write import write_volume
from app.files import write_csv
from app.progress import progress

# Mean intensities, in the order of `TISSUES`: air, fat, muscle, bone, marrow, lung, liver, spleen, kidney, blood,
# bowel, fluid, grey, white, disc, gas.
SEQUENCES = {
    "T1": (0, 95, 45, 8, 80, 7, 55, 42, 42, 25, 45, 18, 42, 55, 35, 3),
    "T2": (0, 75, 22, 5, 60, 5, 28, 50, 70, 10, 55, 100, 62, 48, 45, 3),
    "PD": (0, 85, 60, 8, 65, 9, 55, 65, 75, 20, 65, 90, 85, 70, 60, 4),
    "T1 fat saturated": (0, 12, 55, 6, 14, 7, 70, 55, 60, 30, 55, 20, 55, 62, 45, 3),
    "T2 fat saturated": (0, 10, 25, 4, 12, 6, 30, 62, 85, 12, 65, 100, 68, 52, 40, 3),
    "T1 with contrast": (0, 70, 45, 8, 60, 10, 75, 80, 95, 100, 60, 20, 50, 58, 40, 3),
    "gradient echo": (0, 60, 50, 4, 25, 4, 50, 48, 52, 85, 48, 55, 58, 52, 55, 2),
}
# Lowest and highest share of the body that an examination of a part shows.
PARTS = {
    "head": (0.86, 1.02), "neck and chest": (0.70, 0.93), "chest": (0.66, 0.85), "abdomen": (0.55, 0.74),
    "abdomen and pelvis": (0.45, 0.74), "pelvis": (0.44, 0.61), "thighs": (0.28, 0.50), "knees": (0.20, 0.36),
    "lower legs": (-0.01, 0.28),
}  # fmt: skip
SPINES = {"cervical": (0.79, 0.89), "thoracic": (0.66, 0.82), "lumbar": (0.54, 0.68)}


def write_bodies(folder, config):
    """Simulate a cohort and write it as a user's cohort would be: NIfTI files and a CSV.

    Args:
        folder: Where to. Files of the same config are left as they are, those of another are replaced.
        config: `BodiesConfig`.

    Returns:
        Path of the cohort's CSV (`subject, image, regions, kind, sequence, sex`).
    """
    folder = cohort_folder(folder, config, "image/body-*.nii.gz")
    rows = []
    for number in progress(range(config.subjects), "simulating bodies"):
        subject = f"body-{number:03d}"
        path = folder / "image" / f"{subject}.nii.gz"
        scan = Scan(config, number)
        if not path.is_file():
            write_volume(path, scan.volume())
        rows.append({
            "subject": subject, "image": f"image/{subject}.nii.gz", "regions": scan.regions(), "kind": scan.kind,
            "sequence": scan.sequence, "sex": "F" if scan.body.female else "M",
        })  # fmt: skip
    write_csv(folder / "cohort.csv", rows)
    return folder / "cohort.csv"


class Scan:
    """One examination of one body; config and number determine everything.

    Args:
        config: `BodiesConfig`.
        number: Which subject.
    """

    def __init__(self, config, number):
        self.rng = rng = np.random.default_rng([config.seed, number])
        self.matrix = config.matrix
        self.body = Body(np.random.default_rng([config.seed, number, 1]))
        self.sequence = str(rng.choice(list(SEQUENCES)))
        draw = rng.random()
        self.kind = "whole" if draw < 0.25 else "spine" if draw < 0.45 else "part"
        self.low, self.high = self._field_of_view()
        self.spacing = float(rng.uniform(8, 14) if self.kind == "whole" else rng.uniform(3, 9))
        self.sagittal = self.kind == "spine" and rng.random() < 0.5
        self.origin = float(rng.uniform(-900, 0))  # height of the soles in the scanner's coordinates
        self.strap = self.kind != "spine" and rng.random() < 0.2

    def regions(self):
        """What the examination shows, as the cohort's CSV says it.

        Returns:
            String: "REGION LOW:HIGH mm" for each, in scanner coordinates, joined by "; ".
        """
        low, high = self.low + self.origin, self.high + self.origin
        if self.kind == "spine":
            return f"spine {low:.1f}:{high:.1f} mm"
        shown = []
        for name, (start, stop) in self.body.regions().items():
            start, stop = max(start + self.origin, low), min(stop + self.origin, high)
            if stop - start > self.spacing:
                shown.append(f"{name} {start:.1f}:{stop:.1f} mm")
        return "; ".join(shown)

    def volume(self):
        """The image.

        Returns:
            `Volume`, int16, its axes in some order and direction.
        """
        rng = self.rng
        x, y, z = self._axes()
        tissue = self.body.tissues(x, y, z)
        means = np.array(SEQUENCES[self.sequence], float) * np.exp(rng.normal(0, 0.15, len(TISSUE)))
        image = means[tissue] * (1 + 0.04 * rng.standard_normal(tissue.shape) * (tissue > 0))
        if self.strap:
            image = self._strap(image, tissue, x)
        voxel = np.array([abs(x[1] - x[0]), abs(y[1] - y[0]), abs(z[1] - z[0])])
        image = gaussian_filter(image, np.clip(rng.uniform(2, 4) / voxel, 0, 1.2))
        image *= _bias(rng, image.shape)
        noise = rng.uniform(0.5, 4.0) * rng.standard_normal((2, *image.shape))
        image = np.hypot(image + noise[0], noise[1]) * rng.uniform(2, 12)  # Rician
        affine = np.diag([x[1] - x[0], y[1] - y[0], z[1] - z[0], 1.0])
        affine[:3, 3] = x[0], y[0], z[0] + self.origin
        volume = nibabel.Nifti1Image(image.astype("int16"), affine)
        return self._stored(volume)

    def _field_of_view(self):
        rng, body = self.rng, self.body
        if self.kind == "whole":
            return -float(rng.uniform(0, 60)), body.height + float(rng.uniform(0, 120))
        shares = SPINES if self.kind == "spine" else PARTS
        low, high = shares[str(rng.choice(list(shares)))]
        low, high = body._at(low) if low > 0 else low * body.height, body._at(high) if high < 1 else high * body.height
        shift, stretch = rng.normal(0, 25, 2)
        low, high = low + shift - 0.5 * stretch, high + shift + 0.5 * stretch
        return float(max(low, -60)), float(min(max(high, low + 120), body.height + 120))

    def _axes(self):
        rng, body = self.rng, self.body
        heights = np.arange(self.low + 0.5 * self.spacing, self.high, self.spacing)
        if self.kind == "spine":
            wide = rng.uniform(45, 70) if self.sagittal else rng.uniform(120, 200)
            deep = rng.uniform(180, 260) if self.sagittal else wide
            count = int(wide / rng.uniform(3.5, 5)) if self.sagittal else self.matrix
            x = np.linspace(-0.5 * wide, 0.5 * wide, count) + rng.normal(0, 4)
            y = np.linspace(-0.5 * deep, 0.5 * deep, self.matrix) - (10 if self.sagittal else rng.uniform(35, 60))
            return x, y, heights
        width, depth = body.outline(np.linspace(self.low, self.high, 20))
        widest = max(width.max(), 190 * body.size if self.low < 0.45 * body.height else 0)
        if body.arms and rng.random() < 0.7 and self.low < 0.75 * body.height and self.high > 0.5 * body.height:
            widest = max(widest, 270 * body.size)
        if self.kind == "part" and rng.random() < 0.2:  # a small field of view around an organ
            widest *= rng.uniform(0.45, 0.8)
            depth = depth * 0.5
        wide = 2 * widest * rng.uniform(1.0, 1.3)
        deep = wide * rng.uniform(0.65, 1.0)
        deep = max(deep, 2 * max(depth.max(), 110 * (self.low < 0.06 * body.height)) * rng.uniform(1.0, 1.2))
        count = int(self.matrix * rng.uniform(0.9, 1.3))
        x = np.linspace(-0.5 * wide, 0.5 * wide, count) + rng.normal(0, 10)
        y = np.linspace(-0.5 * deep, 0.5 * deep, max(16, int(count * rng.uniform(0.7, 1.0)))) + rng.normal(0, 8)
        return x, y, heights

    def _strap(self, image, tissue, x):
        """A strap across the body: bright beside it, dark on it (thesis, section 2.6.4)."""
        start = int(self.rng.integers(0, max(1, image.shape[2] - 6)))
        part = slice(start, start + max(2, int(60 / self.spacing)))
        body = tissue[..., part] > 0
        image = image.copy()
        image[..., part] *= np.where(body, 0.45, 1.0)
        inside = body.any(axis=1)
        for k in range(inside.shape[1]):
            where = np.flatnonzero(inside[:, k])
            if len(where):
                for edge in (where[0] - 2, where[-1] + 1):
                    columns = slice(max(edge, 0), max(edge + 2, 0))
                    image[columns, :, part.start + k] = np.maximum(image[columns, :, part.start + k], 90)
        return image

    def _stored(self, image):
        """Axes flipped, and for some in another order, as scanners and converters leave them."""
        rng = self.rng
        flips = np.where(rng.random(3) < 0.5, -1, 1)
        order = rng.permutation(3) if rng.random() < 0.3 else np.arange(3)
        stored = image.as_reoriented(np.stack([order, flips], axis=1))
        return Volume(np.asanyarray(stored.dataobj), stored.affine)


def _bias(rng, shape):
    """A smooth gain of the coil, around 1."""
    grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij", sparse=True)
    field = sum(rng.normal(0, 0.15) * axis + rng.normal(0, 0.12) * axis**2 for axis in grid)
    return np.exp(field)
