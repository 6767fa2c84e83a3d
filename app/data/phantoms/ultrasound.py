"""Simulated 3D ultrasound: from echogenicity and attenuation in the beam's coordinates to a volume."""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates


@dataclasses.dataclass(frozen=True)
class Probe:
    """A mechanical 3D probe at the origin, looking along the third axis.

    Args:
        depth_mm: How far it sees.
        lateral, elevational: Half opening angles in radians.
        radius_mm: Of the probe's face: the beams start there.
        frequency: In MHz: resolution and attenuation grow with it.
    """

    depth_mm: float
    lateral: float
    elevational: float
    radius_mm: float
    frequency: float

    def beams(self, step_mm):
        """Points along all beams.

        Args:
            step_mm: Sampling along a beam; across the beams it is twice that at the far end.

        Returns:
            `(r, a, e, 3)` in mm.
        """
        depths = np.arange(0.0, self.depth_mm, step_mm) + 0.5 * step_mm
        far = (self.radius_mm + self.depth_mm) / (2.0 * step_mm)
        counts = [max(8, int(2 * angle * far)) for angle in (self.lateral, self.elevational)]
        lateral, elevational = (
            np.linspace(-angle, angle, count)
            for angle, count in zip((self.lateral, self.elevational), counts, strict=True)
        )
        radius = self.radius_mm + depths[:, None, None]
        a, e = lateral[None, :, None], elevational[None, None, :]
        return np.stack([
            radius * np.sin(a) * np.cos(e), radius * np.sin(e) + 0 * a, radius * np.cos(a) * np.cos(e) - self.radius_mm,
        ], axis=-1)  # fmt: skip

    def scan_convert(self, signal, points):
        """A signal in the beams' coordinates at points in space.

        Args:
            signal: `(r, a, e)`, as `beams` samples it.
            points: `(..., 3)` in mm.

        Returns:
            `(...)`, and whether each point is within the sector.
        """
        x, y, z = points[..., 0], points[..., 1], points[..., 2] + self.radius_mm
        radius = np.sqrt(x**2 + y**2 + z**2)
        elevational = np.arcsin(np.clip(y / np.maximum(radius, 1e-6), -1, 1))
        lateral = np.arctan2(x, z)
        place = [
            (radius - self.radius_mm) / self.depth_mm * signal.shape[0] - 0.5,
            (lateral / self.lateral + 1) / 2 * (signal.shape[1] - 1),
            (elevational / self.elevational + 1) / 2 * (signal.shape[2] - 1),
        ]
        seen = (
            (radius >= self.radius_mm)
            & (radius < self.radius_mm + self.depth_mm)
            & (np.abs(lateral) <= self.lateral)
            & (np.abs(elevational) <= self.elevational)
        )
        values = map_coordinates(signal, place, order=1, mode="nearest")
        return np.where(seen, values, 0.0), seen


def echoes(rng, echogenicity, attenuation, probe, step_mm, settings=(0.0, 0.0, 55.0)):
    """What the probe hears: speckle, attenuation, interfaces; compressed logarithmically.

    Scatterers of random phase are blurred by the beam (short along it, wide across, worse with depth), which makes
    fully developed speckle (Rayleigh amplitudes); what lies behind much attenuation is in its shadow; interfaces
    across the beam shine.

    Args:
        rng: `numpy.random.Generator`.
        echogenicity: `(r, a, e)`: mean amplitude scattered back, 0 for fluid.
        attenuation: `(r, a, e)`: in dB per cm and MHz; about 0.5 in tissue, 0 in fluid, high in gas and bone.
        probe: `Probe`.
        step_mm: Along a beam.
        settings: In dB: the operator's gain; the error of the compensation for depth, at the far end; the dynamic
            range shown.

    Returns:
        `(r, a, e)` in [0, 1].
    """
    gain_db, tilt_db, range_db = settings
    scatter = rng.standard_normal((2, *echogenicity.shape)) * echogenicity
    along = 1.2 / probe.frequency * 3.5 / step_mm  # in samples
    heard = np.zeros(echogenicity.shape)
    for part in scatter:
        blurred = gaussian_filter1d(part, max(along, 0.4), axis=0)
        for axis in (1, 2):
            blurred = gaussian_filter1d(blurred, 1.1 if axis == 1 else 1.4, axis=axis)
        heard += blurred**2
    # Reflections: where echogenicity steps along the beam.
    step = np.abs(np.diff(np.log(gaussian_filter1d(echogenicity, 1.0, axis=0) + 0.02), axis=0, append=0.0))
    step[-1] = 0.0
    amplitude = np.sqrt(heard) / np.sqrt(max(np.mean(heard), 1e-12)) * np.sqrt(np.mean(echogenicity**2)) + 0.25 * step
    # There and back; the scanner makes up for tissue of 0.5 dB.
    excess = np.cumsum(attenuation - 0.5, axis=0) * step_mm / 10 * probe.frequency * 2
    fraction = np.linspace(0, 1, len(amplitude))[:, None, None]
    decibels = 20 * np.log10(amplitude + 1e-4) - np.clip(excess, -12, 60) + gain_db + tilt_db * fraction
    electronic = -48.0 + 20 * fraction + 4 * rng.standard_normal(amplitude.shape)
    return np.clip(1 + np.maximum(decibels, electronic + gain_db) / range_db, 0, 1)
