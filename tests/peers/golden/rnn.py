"""The recurrent networks of PyTorch: torch.nn.RNN, LSTM and GRU, of one layer."""

import common
import torch


def recurrent(layer, module, name, d_model, seed, **kwargs):
    module = module(d_model, d_model, batch_first=True).double()
    common.randomise(module, seed)
    weights = {parameter: tensor.detach().clone() for parameter, tensor in module.named_parameters()}

    def forward(x):
        return torch.func.functional_call(module, weights, (x,))[0]

    reference = f"torch.nn.{type(module).__name__} of torch {torch.__version__}"
    common.case(layer, name, forward, weights, d_model, seed=seed, reference=reference, **kwargs)


def main():
    recurrent("rnn", torch.nn.RNN, "even", 16, 10)
    recurrent("rnn", torch.nn.RNN, "odd", 11, 20, length=37)


if __name__ == "__main__":
    main()
