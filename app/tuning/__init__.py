"""Hyper-parameter search: Gaussian process, acquisition, Hyperband, oracles and a tuner for Keras Tuner."""
