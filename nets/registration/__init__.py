"""Registration systems: network, objective and training step of each, one module a system."""
