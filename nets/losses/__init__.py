"""Losses of registration. Each returns one value per sample, `(batch,)`, smaller is better."""

from nets.losses.bending import bending_energy
from nets.losses.dice import dice_loss
from nets.losses.gradient import gradient_penalty
from nets.losses.mi import mi_loss
from nets.losses.mse import mse_loss
from nets.losses.ncc import ncc_loss
from nets.losses.nmi import nmi_loss

__all__ = ["bending_energy", "dice_loss", "gradient_penalty", "mi_loss", "mse_loss", "ncc_loss", "nmi_loss"]
