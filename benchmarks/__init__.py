"""One command per published figure; results in `benchmarks/results`."""
