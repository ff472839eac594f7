"""Long short-term memory: torch.nn.LSTM of one layer."""

import torch
from rnn import recurrent


def main():
    recurrent("lstm", torch.nn.LSTM, "even", 16, 30)
    recurrent("lstm", torch.nn.LSTM, "odd", 11, 40, length=37)


if __name__ == "__main__":
    main()
