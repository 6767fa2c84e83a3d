"""Adaptation of a trained network by a strategy: what is copied, added and frozen."""

import keras

from nets.segmentation_unet import SegmentationUNet, convolution_names, copy_weights
from transfer.adapted_unet import adapted
from transfer.population_gate import PopulationGate


def start(strategy, source, layers=None):
    """The network that a strategy trains, everything else frozen.

    Frozen means that neither weights nor statistics change: Keras runs a frozen batch normalisation by its moving
    statistics and leaves them.

    Args:
        strategy: `Strategy` that starts from a source.
        source: `SegmentationUNet`, trained.
        layers: How many convolutions, where it trains the first or the last.

    Returns:
        `SegmentationUNet` or `AdaptedUNet`, not compiled.

    Raises:
        ValueError: If `layers` is missing or more than there are, or there are no statistics to adapt.
    """
    if strategy.added:
        model = adapted(source, **dict.fromkeys(strategy.added, True))
        for layer in model.layers:
            layer.trainable = layer.name.startswith("added_")
        return model
    settings = {**source.get_config(), "frozen": []}
    if strategy.trains == "statistics":
        if not settings["batch_normalisation"]:
            raise ValueError("Expected a source network with batch normalisation; it has no statistics to adapt.")
        settings = {**settings, "dropout": 0.0}
    model = SegmentationUNet.from_config(settings)
    copy_weights(source, model)
    if strategy.trains in ("first", "last"):
        chosen = chosen_convolutions(model, strategy.trains, layers)
        for layer in model.layers:
            layer.trainable = layer.name.removesuffix("_normalised") in chosen
    return model


def adapt_statistics(model, volumes):
    """Replace the moving statistics of batch normalisation by their mean over some volumes; no weight changes.

    Args:
        model: `SegmentationUNet` without dropout, as `start` returns it.
        volumes: List of `(batch, i, j[, k], 1)`; each counts alike.

    Reference:
        - Li et al., Revisiting batch normalization for practical domain adaptation (AdaBN), 2017.
    """
    normalised = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for number, volume in enumerate(volumes):
        for layer in normalised:
            layer.momentum = number / (number + 1)
        model({"image": volume}, training=True)


def chosen_convolutions(model, which, count):
    """Names of a network's first or last convolutions.

    Args:
        model: `SegmentationUNet`.
        which: "first" or "last".
        count: How many.

    Returns:
        List of strings.

    Raises:
        ValueError: If there are not so many.
    """
    names = convolution_names(model)
    if count is None or not 1 <= count <= len(names):
        raise ValueError(f"Expected a number of layers from 1 to {len(names)}. Received: {count}")
    return names[:count] if which == "first" else names[-count:]


def added_parameters(model):
    """Weights that a strategy adds to the source network: those of the layers that are `added_`, and the gate's.

    Args:
        model: `AdaptedUNet` or `SegmentationUNet`.

    Returns:
        Count. The gate's copy of the source's encoder does not count: it is the source's.
    """
    own = sum(layer.count_params() for layer in model.layers if layer.name.startswith("added_"))
    gates = (layer for layer in model.layers if isinstance(layer, PopulationGate))
    return own + sum(gate.count_params() - gate.described.count_params() for gate in gates)
