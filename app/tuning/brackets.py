"""Hyperband's bookkeeping: brackets, rungs, promotions. It knows names of trials and their values only."""

import math


class Brackets:
    """Which trial comes next, and how long each trains.

    Bracket s of s_max .. 0 starts `ceil((s_max + 1) / (s + 1) * factor^s)` configurations with
    `max_budget / factor^s` each, and promotes the best 1 / factor of every rung to the next.
    Where trials fail others take their places, so that a rung has enough to choose from: failures
    neither starve nor stall a bracket. While a rung is still training, the next bracket opens.

    Args:
        max_budget: Largest budget of a configuration, in epochs or seconds.
        factor: Ratio of budgets, and of numbers of configurations, from rung to rung.
        min_budget: Smallest budget.
        cycles: How often all brackets are run through.
        long_second: Whether the bracket of full trainings opens next to that of the shortest, instead of last.
        replaced: Most starts in a bracket, as a multiple of its size.

    Raises:
        ValueError: If a number is out of range.

    Reference:
        - Li et al., Hyperband, JMLR 2018, algorithm 1.
    """

    def __init__(self, max_budget, factor=3, min_budget=1, cycles=1, replaced=3, long_second=False):
        if not 0 < min_budget <= max_budget or factor < 2 or cycles < 1:
            raise ValueError(
                "Expected `0 < min_budget <= max_budget`, `factor >= 2` and `cycles >= 1`. "
                f"Received: min_budget={min_budget}, max_budget={max_budget}, factor={factor}, cycles={cycles}"
            )
        self.max_budget, self.factor, self.min_budget = max_budget, factor, min_budget
        self.cycles, self.replaced, self.long_second = cycles, replaced, long_second
        self.largest = int(math.log(max_budget / min_budget) / math.log(factor) + 1e-9)
        self.open = []
        self.opened = 0

    def size(self, bracket, rung):
        """Number of configurations of a rung."""
        start = math.ceil((self.largest + 1) / (bracket + 1) * self.factor**bracket - 1e-9)
        return max(1, int(start / self.factor**rung + 1e-9))

    def budget(self, bracket, rung):
        """Budget of a configuration at a rung, from its very start."""
        budget = self.max_budget / self.factor ** (bracket - rung)
        whole = isinstance(self.max_budget, int)
        return max(self.min_budget, round(budget)) if whole else budget

    def next(self):
        """What to do now.

        Returns:
            ("start", index, 0, None) for a new configuration, ("promote", index, rung, trial) to go
            on with a trial, ("wait", ...) while others must end first, or ("done", ...).
        """
        for index, bracket in enumerate(self.open):
            for rung, promoted in enumerate(bracket["promoted"]):
                if promoted:
                    return "promote", index, rung, promoted[0]
            if self._wants_more(bracket):
                return "start", index, 0, None
        if self.opened < self.cycles * (self.largest + 1):
            self._open()
            return "start", len(self.open) - 1, 0, None
        running = any(len(ended) < len(started) for b in self.open for started, ended in
                      zip(b["started"], b["ended"], strict=True))  # fmt: skip
        return ("wait" if running else "done"), None, None, None

    def starts(self, name, index, rung, before=None):
        """Note that a trial has begun.

        Args:
            name: Trial.
            index: Place of its bracket in `open`.
            rung: Its rung.
            before: The trial it goes on with.
        """
        bracket = self.open[index]
        bracket["started"][rung].append(name)
        if before is not None:
            bracket["promoted"][rung].remove(before)

    def ends(self, name, value):
        """Note that a trial has ended.

        Args:
            name: Trial.
            value: What is minimised; NaN for a failure.
        """
        for bracket in self.open:
            for rung, started in enumerate(bracket["started"]):
                if name in started and name not in bracket["ended"][rung]:
                    bracket["ended"][rung][name] = None if math.isnan(value) else value
                    self._promote(bracket, rung)
                    return

    def close(self, index):
        """Start no more configurations in a bracket; it goes on with those it has.

        Args:
            index: Place of the bracket in `open`.
        """
        bracket = self.open[index]
        bracket["full"] = True
        if bracket["started"][0]:
            self._promote(bracket, 0)

    def may_promote(self, name):
        """Whether a trial that has ended may still be continued.

        Args:
            name: Trial.

        Returns:
            Bool.
        """
        for bracket in self.open:
            for rung, started in enumerate(bracket["started"][:-1]):
                if name in started:
                    through = bracket["full"] and len(bracket["ended"][rung]) == len(started)
                    through = through and not bracket["promoted"][rung]
                    return name in bracket["promoted"][rung + 1] or not through
        return False

    def get_state(self):
        """State as JSON."""
        return {"open": self.open, "opened": self.opened}

    def set_state(self, state):
        """Take up `get_state`."""
        self.open, self.opened = state["open"], state["opened"]

    def _open(self):
        bracket = self.largest - self.opened % (self.largest + 1)
        if self.long_second and bracket < self.largest:
            bracket = self.largest - 1 - bracket
        rungs = bracket + 1
        self.open.append(
            {
                "bracket": bracket,
                "started": [[] for _ in range(rungs)],
                "ended": [{} for _ in range(rungs)],
                "promoted": [[] for _ in range(rungs)],
                "full": False,
            }
        )
        self.opened += 1

    def _wants_more(self, bracket):
        started, ended = bracket["started"][0], bracket["ended"][0]
        if bracket["full"]:
            return False
        size = self.size(bracket["bracket"], 0)
        failed = sum(value is None for value in ended.values())
        return len(started) - failed < size and len(started) < self.replaced * size

    def _promote(self, bracket, rung):
        """When a rung is through: its best go on."""
        ended = bracket["ended"][rung]
        if rung == 0 and self._wants_more(bracket):
            return
        if len(ended) < len(bracket["started"][rung]) or bracket["promoted"][rung]:
            return
        if rung == 0:
            bracket["full"] = True
        if rung < bracket["bracket"] and not bracket["started"][rung + 1] and not bracket["promoted"][rung + 1]:
            good = sorted((value, name) for name, value in ended.items() if value is not None)
            count = self.size(bracket["bracket"], rung + 1)
            bracket["promoted"][rung + 1] = [name for _, name in good[:count]]
