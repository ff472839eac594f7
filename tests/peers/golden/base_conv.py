"""BaseConv, from Zoology's description, in torch: y = (conv(u) + b) * (W u + c) + u, the convolution short or implicit."""

import math

import common
import torch
from torch import nn
from torch.nn import functional


def base_conv(name, kernel, d_model, length, seed):
    module = nn.ModuleDict({"projection": nn.Linear(d_model, d_model)})
    if kernel > 0:
        module["conv"] = nn.ModuleDict({"conv": nn.Conv1d(d_model, d_model, kernel, groups=d_model, padding=kernel - 1)})
    else:
        module["conv"] = nn.ModuleDict({"filter_mlp": nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, d_model))})
    common.randomise(module, seed)

    def convolve(u):
        if kernel > 0:
            return module["conv"]["conv"](u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2)
        index = torch.arange(length).double()
        angle = 1e-4 * 2 * math.pi * index / length
        features = torch.stack((index / (length - 1), angle.cos(), -angle.sin()), dim=-1)
        taps = module["conv"]["filter_mlp"](features)  # [length, d_model]
        spectrum = torch.fft.rfft(u, 2 * length, dim=1) * torch.fft.rfft(taps, 2 * length, dim=0)
        return torch.fft.irfft(spectrum, 2 * length, dim=1)[:, : u.shape[1]]

    common.case(
        "base_conv",
        name,
        lambda u: convolve(u) * module["projection"](u) + u,
        dict(module.named_parameters()),
        d_model,
        {"conv_kernel": kernel},
        length=length,
        seed=seed,
        reference=f"its definition with torch {torch.__version__}'s Conv1d and FFT (Arora et al. 2023)",
    )


def main():
    base_conv("short", 3, 16, 33, 10)
    base_conv("long", -1, 16, 33, 20)


if __name__ == "__main__":
    main()
