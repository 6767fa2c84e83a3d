"""Everything that touches files, people and machines."""
