"""The gated recurrent unit: torch.nn.GRU of one layer."""

import torch
from rnn import recurrent


def main():
    recurrent("gru", torch.nn.GRU, "even", 16, 50)
    recurrent("gru", torch.nn.GRU, "odd", 11, 60, length=37)


if __name__ == "__main__":
    main()
