"""The space of a search as numbers: which configurations there are, and where they lie."""

import itertools
import math

import numpy as np

from app.tuning.space_entry import Entry

MOST_ENUMERATED = 20_000


class Space:
    """Configurations of Keras Tuner's hyper-parameters as rows of numbers.

    A row has one entry per hyper-parameter: its position in [0, 1] on its own scale (linear or
    logarithmic; integers and steps snapped to theirs), the index of an unordered choice, NaN where
    a condition leaves it out.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`.

    Attributes:
        names: Name of each entry; a name stands twice if it is declared under two conditions.
        categorical: Tuple of bool, one a column of `features`.
    """

    def __init__(self, hyperparameters):
        searched = [hp for hp in hyperparameters.space if type(hp).__name__ != "Fixed"]
        self._fixed = [hp for hp in hyperparameters.space if type(hp).__name__ == "Fixed"]
        self._entries = [Entry(hp) for hp in searched]
        self.names = [entry.name for entry in self._entries]
        self._conditional = [column for column, entry in enumerate(self._entries) if entry.conditions]
        self.categorical = tuple([entry.unordered for entry in self._entries] + [True] * len(self._conditional))

    @property
    def size(self):
        """Number of configurations; infinite where a hyper-parameter is continuous or there are too many to list."""
        if not hasattr(self, "_listed"):
            product = math.prod(entry.levels for entry in self._entries)
            self._listed = np.array(list(self.grid(1))) if product <= MOST_ENUMERATED else None
        return math.inf if self._listed is None else len(self._listed)

    def all(self):
        """Every configuration.

        Returns:
            Array `(size, entries)`.

        Raises:
            ValueError: If they cannot be listed.
        """
        if self.size == math.inf:
            raise ValueError(f"Expected a finite space of at most {MOST_ENUMERATED} configurations.")
        return self._listed

    def draw(self, count, rng):
        """Random configurations.

        Args:
            count: How many.
            rng: `numpy.random.Generator`.

        Returns:
            Array `(count, entries)`.
        """
        return self.active(self.places(count, rng))

    def places(self, count, rng):
        """Random positions in every entry, whether its conditions hold or not; `active` makes configurations of them.

        Args:
            count: How many.
            rng: `numpy.random.Generator`.

        Returns:
            Array `(count, entries)`.
        """
        columns = [entry.place(rng.random(count)) for entry in self._entries]
        return np.stack(columns, axis=1) if columns else np.zeros((count, 0))

    def completed(self, row):
        """A row with every entry that it leaves out in its middle: what another choice would have to begin with.

        Args:
            row: Array `(entries,)`.

        Returns:
            Array `(entries,)` without NaN.
        """
        middle = [entry.place(np.array([0.5]))[0] for entry in self._entries]
        return np.where(np.isnan(row), middle, row)

    def unused(self, count, taken, rng):
        """Random configurations, none twice.

        Args:
            count: How many.
            taken: Set of keys that must not come.
            rng: `numpy.random.Generator`.

        Returns:
            List of rows, fewer than `count` if the space is exhausted.
        """
        if self.size < math.inf:
            rows = self.all()
            rows = rows[rng.permutation(len(rows))]
        else:
            rows = self.draw(100 * count, rng)
        free = {key: row for key, row in zip(self.keys(rows), rows, strict=True) if key not in taken}
        return list(free.values())[:count]

    def near(self, row, count, rng, spread=0.1):
        """Configurations around one: each differs in about a third of the entries.

        Args:
            row: Array `(entries,)`.
            count: How many.
            rng: `numpy.random.Generator`.
            spread: Deviation of a step on numbers.

        Returns:
            Array `(count, entries)`.
        """
        fresh = self.draw(count, rng)
        rows = np.where(np.isnan(row), self.places(count, rng), row)
        change = rng.random(rows.shape) < 1 / 3
        change[np.arange(count), rng.integers(0, len(self._entries), count)] = True
        for column, entry in enumerate(self._entries):
            if entry.unordered:
                moved = np.where(np.isnan(fresh[:, column]), rows[:, column], fresh[:, column])
            else:
                step = spread * rng.normal(size=count)
                if entry.levels < math.inf:  # a step too small to reach the next level would be none
                    step += np.sign(step) / max(2 * (entry.levels - 1), 1)
                moved = entry.place(np.clip(rows[:, column] + step, 0, 1), by_position=True)
            rows[:, column] = np.where(change[:, column], moved, rows[:, column])
        return self.active(rows)

    def features(self, rows):
        """Columns for a kernel.

        Args:
            rows: Array `(n, entries)`.

        Returns:
            Array `(n, columns)`: an entry left out counts as the middle of its range, and a
            further column says whether it is there.
        """
        there = ~np.isnan(rows[:, self._conditional])
        return np.concatenate([np.where(np.isnan(rows), 0.5, rows), there.astype(float)], axis=1)

    def values(self, row):
        """A configuration as Keras Tuner writes it.

        Args:
            row: Array `(entries,)`.

        Returns:
            Dict from name to value, of the active hyper-parameters.
        """
        values = {hp.name: hp.value for hp in self._fixed}
        values.update(
            {entry.name: entry.value(place) for entry, place in zip(self._entries, row, strict=True) if place == place}
        )
        return values

    def row(self, values):
        """Where a configuration lies.

        Args:
            values: Dict from name to value; other names are ignored.

        Returns:
            Array `(entries,)`.
        """
        row = [e.position(values[e.name]) if e.name in values else math.nan for e in self._entries]
        row = np.array(row, float)
        return self.active(row[None])[0]

    def domains(self):
        """What each hyper-parameter may be.

        Returns:
            Dict from name to `(choices, low, high)`: choices, or None and the ends of a range.
        """
        return {
            entry.name: (entry.choices, None, None) if entry.choices else (None, entry.low, entry.high)
            for entry in self._entries
        }

    def key(self, row):
        """What two equal configurations share.

        Args:
            row: Array `(entries,)`.

        Returns:
            Bytes.
        """
        return self.keys(row[None])[0]

    def keys(self, rows):
        """`key` of each row.

        Args:
            rows: Array `(n, entries)`.

        Returns:
            List of bytes.
        """
        rounded = np.round(rows, 9) + 0.0  # no negative zero
        rounded[np.isnan(rounded)] = math.nan
        return [row.tobytes() for row in rounded]

    def grid(self, points):
        """Every configuration of a grid.

        Args:
            points: Points along a continuous hyper-parameter, its ends among them.

        Yields:
            Array `(entries,)`.
        """
        seen = set()
        for row in itertools.product(*(self.positions(column, points) for column in range(len(self._entries)))):
            row = self.active(np.array([row], float))[0]
            if (key := self.key(row)) not in seen:
                seen.add(key)
                yield row

    def positions(self, column, points):
        """Positions along an entry.

        Args:
            column: Index of the entry.
            points: How many of a continuous one.

        Returns:
            Array.
        """
        positions = self._entries[column].positions
        return np.linspace(0.0, 1.0, points) if positions is None else np.asarray(positions, float)

    def active(self, rows):
        """Rows with NaN where a condition does not hold.

        Args:
            rows: Array `(n, entries)`.

        Returns:
            Array of the same shape.
        """
        rows = rows.copy()
        for column in self._conditional:
            for parent, allowed in self._entries[column].conditions:
                holds = np.zeros(len(rows), bool)
                for other in (c for c, entry in enumerate(self._entries) if entry.name == parent):
                    entry = self._entries[other]
                    for value in allowed:
                        if entry.knows(value):
                            holds |= np.abs(rows[:, other] - entry.position(value)) < 1e-9
                holds |= any(hp.name == parent and hp.value in allowed for hp in self._fixed)
                rows[~holds, column] = math.nan
        return rows
