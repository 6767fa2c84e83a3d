"""Adapting networks to a new population; its systems are still to come."""
