"""Training with `fit`: run folder, callbacks, resume."""
