"""What is done with every system, each flow written once."""
