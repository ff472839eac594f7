"""RWKV-6's channel mix, as the authors' x060 release has it, in torch."""

import common
import torch
from rwkv6 import shifted
from torch import nn


class ChannelMix(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        hidden = int((d_model * 3.5) // 32 * 32)
        self.time_maa_k = nn.Parameter(torch.full((1, 1, d_model), 0.5))
        self.time_maa_r = nn.Parameter(torch.full((1, 1, d_model), 0.5))
        self.key = nn.Linear(d_model, hidden, bias=False)
        self.receptance = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(hidden, d_model, bias=False)

    def forward(self, x):
        xx = shifted(x) - x
        k = torch.relu(self.key(x + xx * self.time_maa_k)) ** 2
        return torch.sigmoid(self.receptance(x + xx * self.time_maa_r)) * self.value(k)


def main():
    module = ChannelMix(20)
    common.randomise(module, 10, shifts={"time_maa_k": 0.5, "time_maa_r": 0.5})
    common.case(
        "rwkv6_channel_mix",
        "two_of_32",
        module,
        dict(module.named_parameters()),
        20,
        length=20,
        seed=10,
        reference=f"its definition with torch {torch.__version__} (Peng et al. 2024)",
    )


if __name__ == "__main__":
    main()
