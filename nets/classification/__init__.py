"""Field of view: the network family, and the decision over a volume."""
