"""What happened to points on their way through transforms."""

import threading


class Tally:
    """What happened to the points that passed: filled by several threads.

    Attributes:
        points: How many passed through fields.
        beyond: How many lay beyond a field, which leaves them where they are.
        missed: Of how many an inverse could not be computed within 0.01 mm, or lies in a fold.
        residual_mm: The largest distance by which an inverse misses, of the points within the field.
    """

    def __init__(self):
        self.points = self.beyond = self.missed = 0
        self.residual_mm = 0.0
        self._lock = threading.Lock()

    def add(self, points=0, beyond=0, missed=0, residual_mm=0.0):
        """Count."""
        with self._lock:
            self.points += points
            self.beyond += int(beyond)
            self.missed += int(missed)
            self.residual_mm = max(self.residual_mm, float(residual_mm))
