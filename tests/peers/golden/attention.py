"""Softmax attention: transformers' Llama attention, with grouped heads, rotary positions and biases."""

import common
import torch
import transformers
from torch.nn import functional
from transformers.models.llama import modeling_llama


def llama(name, options, d_model, seed):
    """One LlamaAttention module under a causal mask."""
    heads = options.get("heads", 1)
    config = transformers.LlamaConfig(
        hidden_size=d_model,
        num_attention_heads=heads,
        num_key_value_heads=options.get("kv_heads", heads),
        attention_bias=options.get("bias", False),
        rope_parameters={"rope_type": "default", "rope_theta": options.get("rope_base", 10000.0)},
        attn_implementation="sdpa",  # the eager form rounds its softmax to float32
    )
    attention = modeling_llama.LlamaAttention(config, layer_idx=0).double()
    rotary = modeling_llama.LlamaRotaryEmbedding(config)
    common.randomise(attention, seed)

    def forward(x):
        length = x.shape[1]
        # In float64: the module computes angles in float32.
        angles = torch.outer(torch.arange(length, dtype=torch.float64), exact_frequencies(rotary, config))
        angles = torch.cat((angles, angles), dim=-1)[None]
        mask = torch.full((length, length), -torch.inf).triu(1)[None, None]
        return attention(x, position_embeddings=(angles.cos(), angles.sin()), attention_mask=mask)[0]

    common.case(
        "attention",
        name,
        forward,
        dict(attention.named_parameters()),
        d_model,
        options,
        length=37,
        seed=seed,
        reference=f"LlamaAttention of transformers {transformers.__version__}",
    )


def exact_frequencies(rotary, config):
    width = 2 * rotary.inv_freq.numel()
    base = config.rope_parameters["rope_theta"]
    exact = base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    assert torch.allclose(exact, rotary.inv_freq.double(), rtol=1e-6)
    return exact


def window(name, options, d_model, seed):
    """PyTorch's scaled_dot_product_attention under a sliding window, without positions."""
    heads, width = options["heads"], options["window"]
    weights = {
        f"{p}_proj.weight": common.random(d_model, d_model, scale=d_model**-0.5, seed=seed + i)
        for i, p in enumerate("qkvo", 100)
    }

    def forward(x):
        length = x.shape[1]
        lag = torch.arange(length)[:, None] - torch.arange(length)
        q, k, v = (
            functional.linear(x, weights[f"{p}_proj.weight"]).unflatten(-1, (heads, -1)).transpose(1, 2) for p in "qkv"
        )
        o = functional.scaled_dot_product_attention(q, k, v, attn_mask=(lag >= 0) & (lag < width))
        return functional.linear(o.transpose(1, 2).flatten(2), weights["o_proj.weight"])

    common.case(
        "attention",
        name,
        forward,
        weights,
        d_model,
        options,
        length=37,
        seed=seed,
        reference=f"scaled_dot_product_attention of torch {torch.__version__}",
    )


def main():
    llama("grouped_rope", {"heads": 4, "kv_heads": 2, "positions": "rope"}, 16, 10)
    llama("bias_rope_base", {"heads": 2, "positions": "rope", "rope_base": 500.0, "bias": True}, 24, 20)
    window("window", {"heads": 3, "window": 7}, 24, 30)


if __name__ == "__main__":
    main()
