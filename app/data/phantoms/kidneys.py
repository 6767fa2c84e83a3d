"""Simulated 3D ultrasound of kidneys: healthy adults and sick children."""

import numpy as np

from app.data.phantoms.folder import cohort_folder
from app.data.phantoms.kidney_anatomy import TISSUES, Kidney, draw_shape
from app.data.phantoms.ultrasound import Probe, echoes
from app.data.volume import Volume
from app.data.write import write_volume
from app.files import write_csv
from app.progress import progress

POPULATIONS = {"adults": "source", "children": "target"}
# Mean amplitude scattered back, in adults: outside (unused), capsule, cortex, pyramid, sinus, fluid.
ECHOES = {"adults": (0, 0.75, 0.22, 0.13, 0.60, 0.005), "children": (0, 0.85, 0.36, 0.06, 0.26, 0.005)}
CALLED = {"adults": "adult", "children": "child"}


def write_kidneys(folder, config):
    """Simulate a cohort and write it as a user's cohort would be: NIfTI files and a CSV.

    Args:
        folder: Where to. Files of the same config are left as they are, those of another are replaced.
        config: `KidneysConfig`.

    Returns:
        Path of the cohort's CSV (`subject, image, mask, population, age, dilation`).
    """
    folder = cohort_folder(folder, config, "*/kidney-*.nii.gz")
    people = [(kind, number) for kind in POPULATIONS for number in range(getattr(config, kind))]
    rows = []
    for kind, number in progress(people, "simulating kidneys"):
        subject = f"{CALLED[kind]}-{number:03d}"
        paths = {part: f"{part}/kidney-{subject}.nii.gz" for part in ("image", "mask")}
        scan = KidneyScan(config, kind, number)
        if not all((folder / path).is_file() for path in paths.values()):
            for part, volume in zip(paths, scan.volumes(), strict=True):
                write_volume(folder / paths[part], volume)
        rows.append({
            "subject": subject, **paths, "population": POPULATIONS[kind], "age": round(scan.age, 1),
            "dilation": round(scan.kidney.dilation, 2),
        })  # fmt: skip
    write_csv(folder / "cohort.csv", rows)
    return folder / "cohort.csv"


class KidneyScan:
    """One examination; config, population and number determine everything.

    Children's kidneys are smaller and nearer, lie otherwise (scanned across rather than along), have a bright cortex
    and dark pyramids, and in three of ten are dilated (thesis, section 3.2.3); their scans are shallower, at a higher
    frequency, with more gain.

    Args:
        config: `KidneysConfig`.
        population: "adults" or "children".
        number: Which one.
    """

    def __init__(self, config, population, number):
        self.config, self.population = config, population
        self.rng = rng = np.random.default_rng([config.seed, list(POPULATIONS).index(population), number])
        child = population == "children"
        self.age = float(rng.uniform(0.5, 15) if child else rng.uniform(18, 75))
        # Lengths by age: Rosenbaum et al., AJR 1984; adults 110 mm.
        length = 10 * (6.79 + 0.22 * self.age) if child and self.age > 1 else 62.0 if child else 110.0
        half = 0.5 * length * float(np.exp(rng.normal(0, 0.08)))
        dilated = float(rng.uniform(0.25, 1.0)) if child and rng.random() < 0.3 else 0.0
        half *= 1 + 0.15 * dilated
        self.probe = Probe(
            depth_mm=float(rng.uniform(80, 120) if child else rng.uniform(125, 165)),
            lateral=np.radians(rng.uniform(27, 34)), elevational=np.radians(rng.uniform(24, 31)),
            radius_mm=float(rng.uniform(15, 25) if child else rng.uniform(38, 52)),
            frequency=float(rng.uniform(5, 7) if child else rng.uniform(2.5, 4)),
        )  # fmt: skip
        centre = np.array(
            [*rng.normal(0, [0.08, 0.06]) * self.probe.depth_mm, self.probe.depth_mm * rng.uniform(0.42, 0.56)]
        )
        self.kidney = Kidney(draw_shape(rng, half), centre, self._axes(child), dilated, int(rng.integers(1000)))
        self.side = 1 if rng.random() < 0.5 else -1

    def volumes(self):
        """Image and mask.

        Returns:
            Two `Volume`, uint8; image 0 outside of the sector.
        """
        rng, probe = self.rng, self.probe
        step = 0.45 * self.config.detail_mm
        beams = probe.beams(step)
        echogenicity, attenuation = self._surroundings(beams)
        tissue = self.kidney.tissues(beams)
        means = np.array(ECHOES[self.population]) * np.exp(rng.normal(0, 0.18, len(TISSUES)))
        inside = tissue > 0
        echogenicity = np.where(inside, means[tissue], echogenicity)
        attenuation = np.where(inside, np.where(tissue == TISSUES.index("fluid"), 0.05, 0.5), attenuation)
        child = self.population == "children"
        gain = rng.normal(-1, 3) if child else rng.normal(-5, 3)
        settings = gain, rng.normal(0, 6), rng.uniform(50, 62)
        signal = echoes(rng, echogenicity, attenuation, probe, step, settings)
        points, affine = self._grid()
        image, seen = probe.scan_convert(signal, points)
        mask = (self.kidney.level(points) > 0) & seen
        image = np.where(seen, np.maximum(np.round(255 * image), 1), 0)
        return Volume(image.astype("uint8"), affine), Volume(mask.astype("uint8"), affine)

    def _axes(self, child):
        """Length mostly across the beam: along the lateral direction in adults, turned away from it in children."""
        rng = self.rng
        around = rng.normal(60, 30) if child else rng.normal(0, 15)
        tilt, roll = rng.normal(0, 20 if child else 12), rng.uniform(0, 360)
        around, tilt, roll = np.radians([around, tilt, roll])
        length = np.array([np.cos(around) * np.cos(tilt), np.sin(around) * np.cos(tilt), np.sin(tilt)])
        across = np.cross(length, [0.0, 0.0, 1.0])
        across /= np.linalg.norm(across)
        third = np.cross(length, across)
        hilum = np.cos(roll) * across + np.sin(roll) * third
        return np.stack([length, hilum, np.cross(length, hilum)])

    def _surroundings(self, points):
        """Echogenicity and attenuation without the kidney: wall, an organ, fat, gas, ribs."""
        rng, depth = self.rng, self.probe.depth_mm
        z = points[..., 2]
        wave = sum(
            rng.uniform(0.5, 1) * np.sin(points @ rng.normal(0, 1 / rng.uniform(8, 30), 3) + rng.uniform(0, 6.3))
            for _ in range(6)
        )
        echogenicity = 0.26 * np.exp(0.22 * wave)
        attenuation = np.full(z.shape, 0.5)
        wall = depth * rng.uniform(0.08, 0.16)
        layers = 0.5 + 0.5 * np.sin(z / rng.uniform(1.5, 3.0) + 0.5 * wave)
        echogenicity = np.where(z < wall, 0.2 + 0.5 * layers, echogenicity)
        # Liver or spleen beside the kidney; bright fat around it; fluid in vessels and the gall bladder.
        organ = self._ellipsoid(
            points, [self.side * 0.45 * depth, 0, 0.35 * depth], [0.42 * depth, 0.5 * depth, 0.3 * depth]
        )
        echogenicity = np.where((organ < 1) & (z >= wall), 0.24 * np.exp(rng.normal(0, 0.15)), echogenicity)
        near = self.kidney.level(points)
        echogenicity = np.where((near < 0) & (near > -rng.uniform(0.06, 0.22)), rng.uniform(0.35, 0.7), echogenicity)
        for _ in range(rng.integers(1, 5)):
            centre = rng.normal(0, 0.28, 3) * depth + [0, 0, 0.55 * depth]
            radii = rng.uniform(0.02, 0.08, 3) * depth * [1.0, 1.0, 1.5]
            echogenicity = np.where(self._ellipsoid(points, centre, radii) < 1, 0.01, echogenicity)
        # Bowel gas and ribs throw shadows.
        for _ in range(rng.integers(0, 3)):
            centre = [
                self.side * -rng.uniform(0.1, 0.5) * depth,
                rng.normal(0, 0.3) * depth,
                rng.uniform(0.2, 0.6) * depth,
            ]
            gas = self._ellipsoid(points, centre, rng.uniform(0.04, 0.12, 3) * depth) < 1
            echogenicity, attenuation = np.where(gas, 1.2, echogenicity), np.where(gas, 12.0, attenuation)
        if rng.random() < 0.5:
            ribs = (np.abs(z - 0.9 * wall) < 4) & (np.mod(points[..., 0] + rng.uniform(0, 60), rng.uniform(45, 80)) < 7)
            echogenicity, attenuation = np.where(ribs, 1.3, echogenicity), np.where(ribs, 10.0, attenuation)
        return echogenicity, attenuation

    @staticmethod
    def _ellipsoid(points, centre, radii):
        return sum(((points[..., axis] - centre[axis]) / radii[axis]) ** 2 for axis in range(3))

    def _grid(self):
        """Points of the file's voxels, not quite isotropic, and the affine: anterior side up, as the probe looks."""
        rng, probe = self.rng, self.probe
        far = probe.radius_mm + probe.depth_mm
        wide, deep = far * np.sin(probe.lateral), far * np.sin(probe.elevational)
        spacing = self.config.detail_mm * rng.uniform(0.8, 1.1, 3)
        low = np.array([-wide, -deep, -probe.radius_mm * (1 - np.cos(probe.lateral))]) - 2
        high = np.array([wide, deep, probe.depth_mm]) + 2
        axes = [np.arange(a, b, step) for a, b, step in zip(low, high, spacing, strict=True)]
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = low
        # x to the patient's left, y towards the feet, z into the body: RAS of a probe on the belly.
        world = np.array([[-1.0, 0, 0, 0], [0, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1), world @ affine
