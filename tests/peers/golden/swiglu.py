"""The gated feed-forward: transformers' LlamaMLP."""

import common
import transformers
from transformers.models.llama.modeling_llama import LlamaMLP


def main():
    d_model, hidden = 16, 40
    config = transformers.LlamaConfig(hidden_size=d_model, intermediate_size=hidden, num_attention_heads=1)
    module = LlamaMLP(config).double()
    common.randomise(module, 10)
    common.case(
        "swiglu",
        "hidden_40",
        module,
        dict(module.named_parameters()),
        d_model,
        {"hidden": hidden},
        seed=10,
        reference=f"LlamaMLP of transformers {transformers.__version__}",
    )


if __name__ == "__main__":
    main()
