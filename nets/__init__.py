"""Networks, layers, losses and tensor operations, written against Keras 3 alone."""
