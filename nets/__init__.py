"""Networks, layers, losses and tensor operations, written against Keras 3 alone."""

from nets.onednn import switch_on

switch_on()
