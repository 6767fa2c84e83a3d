"""Registration of two images without a model: an optimisation per pair."""
