"""RWKV-4's channel mixing: transformers' RwkvFeedForward."""

from rwkv4 import of_transformers
from transformers.models.rwkv.modeling_rwkv import RwkvFeedForward


def main():
    of_transformers("rwkv_channel_mix", RwkvFeedForward, "even", 16, 40)
    of_transformers("rwkv_channel_mix", RwkvFeedForward, "odd", 11, 50, length=37)


if __name__ == "__main__":
    main()
