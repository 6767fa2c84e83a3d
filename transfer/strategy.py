"""The strategies by which a network comes to a new population; Keras is not needed to list them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Strategy:
    """What a network starts from, what it is trained on, which weights are trained.

    Args:
        trains: "all" weights; the "first" or the "last" convolutions; what is "added" to the source network; the
            "statistics" of batch normalisation only.
        added: Names of the layers that are added to a source network, arguments of `AdaptedUNet`.
        from_source: Whether it starts from a trained source network.
        populations: Whose volumes it trains on.

    Reference:
        - Bertrand, thesis, 2019, sections 3.3.2, 3.3.3 and 3.4, table 3.1.
    """

    trains: str = "all"
    added: tuple = ()
    from_source: bool = True
    populations: tuple = ("target",)

    @property
    def counts_layers(self):
        """Whether a number of convolutions belongs to it."""
        return self.trains in ("first", "last")


STRATEGIES = {
    "source": Strategy(from_source=False, populations=("source",)),
    "target": Strategy(from_source=False),
    "joint": Strategy(from_source=False, populations=("source", "target")),
    "fine_tuning": Strategy(),
    "first_layers": Strategy("first"),
    "last_layers": Strategy("last"),
    "statistics": Strategy("statistics"),
    "fixed_convolutions": Strategy("added", ("convolutions",)),
    "geometric": Strategy("added", ("geometric",)),
    "intensity": Strategy("added", ("intensity",)),
    "geometric_intensity": Strategy("added", ("geometric", "intensity")),
    "gated": Strategy("added", ("geometric", "intensity", "gate")),
}
