"""One key of a search space: its values, and their place on [0, 1]."""

import math

import numpy as np


class Entry:
    """One hyper-parameter as positions."""

    def __init__(self, hp):
        self.name = hp.name
        self.conditions = [(condition.name, condition.values) for condition in hp.conditions]
        kind = type(hp).__name__
        self.unordered = kind == "Boolean" or (kind == "Choice" and not hp.ordered)
        self.choices, self.positions = None, None
        if kind in ("Choice", "Boolean"):
            self.choices = list(hp.values) if kind == "Choice" else [False, True]
            count = len(self.choices)
            self.positions = np.arange(count) / (1 if self.unordered else max(count - 1, 1))
        elif kind in ("Int", "Float"):
            self.scale = hp.sampling or "linear"
            self.low, self.high = hp.min_value, hp.max_value
            self.choices = self._stepped(hp, kind)
            if self.choices is not None:
                self.positions = np.array([self._scaled(value) for value in self.choices])
        else:
            raise ValueError(f"hyper-parameter {hp.name}: kind {kind} is unknown")
        self.levels = math.inf if self.choices is None else len(self.choices)

    def _stepped(self, hp, kind):
        if hp.step is None:
            return list(range(self.low, self.high + 1)) if kind == "Int" else None
        if self.scale == "linear":
            count = int((self.high - self.low) / hp.step + 1e-9) + 1
            return [self.low + index * hp.step for index in range(count)]
        count = int(math.log(self.high / self.low) / math.log(hp.step) + 1e-9) + 1  # the step is a factor
        values = [self.low * hp.step**index for index in range(count)]
        return [int(value) for value in values] if kind == "Int" else values

    def _scaled(self, value):
        if self.high == self.low:
            return 0.5
        share = (value - self.low) / (self.high - self.low)
        if self.scale == "linear":
            return share
        ratio = math.log(self.high / self.low)
        if self.scale == "log":
            return math.log(value / self.low) / ratio
        return 1.0 - math.log((self.high + self.low - value) / self.low) / ratio

    def knows(self, value):
        return self.choices is None or value in self.choices

    def position(self, value):
        """Where a value lies; one that came back rounded (gRPC sends 32 bits) at its nearest level."""
        if self.choices is None:
            return min(max(self._scaled(value), 0.0), 1.0)
        if value in self.choices:
            return float(self.positions[self.choices.index(value)])
        if isinstance(value, str):
            return math.nan
        return float(self.positions[np.argmin([abs(choice - value) for choice in self.choices])])

    def place(self, numbers, by_position=False):
        """Positions for numbers in [0, 1]: each level as likely as its share of the scale, or the nearest is taken."""
        if self.choices is None:
            return numbers
        numbers = np.asarray(numbers)
        if self.unordered or self.levels == 1:
            return self.positions[np.minimum((numbers * self.levels).astype(int), self.levels - 1)].astype(float)
        if not by_position:  # the first and the last level have whole cells too
            first, last = 0.5 * np.diff(self.positions)[[0, -1]]
            numbers = numbers * (1.0 + first + last) - first
        middles = 0.5 * (self.positions[1:] + self.positions[:-1])
        return self.positions[np.searchsorted(middles, numbers, side="right")]

    def value(self, place):
        if self.choices is not None:
            return self.choices[int(np.argmin(np.abs(self.positions - place)))]
        if self.scale == "linear":
            return float(self.low + place * (self.high - self.low))
        ratio = self.high / self.low
        if self.scale == "log":
            return float(min(max(self.low * ratio**place, self.low), self.high))
        return float(min(max(self.high + self.low - self.low * ratio ** (1.0 - place), self.low), self.high))
