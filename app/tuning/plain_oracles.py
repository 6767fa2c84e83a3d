"""Random and grid search, with the same bookkeeping as the other oracles."""

from app.tuning.oracle import SearchOracle


class RandomOracle(SearchOracle):
    """Configurations at random, none twice; stops when a finite space is exhausted."""

    def suggest(self, trial_id):
        """See `SearchOracle.suggest`."""
        rows = self.space.unused(1, self._taken(), self._generator())
        return self.space.values(rows[0]) if rows else None


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
