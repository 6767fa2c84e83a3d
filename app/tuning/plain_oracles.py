"""Random and grid search, on the same floor as the others."""

import numpy as np

from app.tuning.oracle import SearchOracle


class RandomOracle(SearchOracle):
    """Configurations at random, none twice; stops when a finite space is exhausted."""

    def suggest(self, trial_id):
        """See `SearchOracle.suggest`."""
        taken, rng = self._taken(), self._generator()
        if self.space.size < np.inf:
            free = [row for row in self.space.all() if self.space.key(row) not in taken]
            return self.space.values(free[rng.integers(len(free))]) if free else None
        for row in self.space.draw(1000, rng):
            if self.space.key(row) not in taken:
                return self.space.values(row)
        return None


class GridOracle(SearchOracle):
    """Every configuration of the grid in turn.

    Args:
        points: Points along a continuous hyper-parameter.
        **kwargs: See `SearchOracle`.
    """

    def __init__(self, points=5, **kwargs):
        super().__init__(**kwargs)
        self.points = points

    def suggest(self, trial_id):
        """See `SearchOracle.suggest`."""
        taken = self._taken()
        for row in self.space.grid(self.points):
            if self.space.key(row) not in taken:
                return self.space.values(row)
        return None
