"""The TTT layer of any learner: of its authors' release where that has it, else its definition in torch, token by token,
with the inner gradient from torch's autograd."""

import common
import torch
import ttt_linear
from torch import nn
from torch.nn import functional


def definition(options, module, x):
    """y of x [B,T,D], with options of zoo's layer: heads, inner, inner_depth, inner_optimizer, inner_bias, gradient,
    mini_batch, eta, base_lr, residual_norm, token_scale, rope_base, conv_kernel; post_norm and learn_initial are on."""
    B, T, D = x.shape
    H = options["heads"]
    d = D // H
    K = {"online": 1, "mini_batch": options["mini_batch"], "batch": 10**9}[options["gradient"]]
    period = 1 if options["gradient"] == "online" else options["mini_batch"]
    learned = options["eta"] == "learned"
    memory = options["conv_kernel"] - 1 if options["inner"] == "conv" else 0

    def turned(u, t):
        if options["rope_base"] == 0:
            return u
        angles = (t % period) * options["rope_base"] ** (-torch.arange(0, d, 2) / d)
        pairs = torch.view_as_complex(u.reshape(*u.shape[:-1], d // 2, 2))
        return torch.view_as_real(pairs * torch.polar(torch.ones(d // 2), angles)).reshape(u.shape)

    def model(weights, inputs):
        """g of the last of inputs [memory+1, d]"""
        maps = len(weights) // (2 if options["inner_bias"] else 1)
        biases = weights[maps:] if options["inner_bias"] else [0.0] * maps
        if options["inner"] == "conv":
            return (weights[0] * inputs.T).sum(1) + biases[0]
        y = inputs[-1]
        for index in range(maps):
            y = (y if index == 0 else functional.gelu(y, approximate="tanh")) @ weights[index] + biases[index]
        return y

    def predict(weights, inputs, h):
        g = model(weights, inputs)
        if not options["residual_norm"]:
            return g
        normal = functional.layer_norm(g, (d,), eps=1e-6)
        return inputs[-1] + normal * module["ttt_norm_weight"][h] + module["ttt_norm_bias"][h]

    def sequence(rows, h):
        names = [name for name in module if name[0] == "W" and name[1:].isdigit()]
        names += ["b" + name[1:] for name in names] if options["inner_bias"] else []
        weights = [module[name][h] if name[0] == "W" else module[name][h].reshape(-1) for name in names]
        channels = slice(h * d, (h + 1) * d)
        views = {}
        for view in "qkv":
            projected = (rows @ module[view + "_proj.weight"].T)[:, channels]
            views[view] = projected if view == "v" else torch.stack([turned(u, t) for t, u in enumerate(projected)])
        padded = {view: torch.cat((torch.zeros(memory, d), views[view])) for view in "qk"}
        start, sums = weights, [torch.zeros_like(w) for w in weights]
        first = [torch.zeros_like(w) for w in weights]
        second = [torch.zeros_like(w) for w in weights]
        results = []
        for t in range(T):
            i = t % K
            error = predict(start, padded["k"][t : t + memory + 1], h) - views["v"][t]
            loss = (0.5 if learned else 1.0) * (error**2).sum()
            gradients = torch.autograd.grad(loss, start, create_graph=True)
            if options["inner_optimizer"] == "momentum":
                first = [0.9 * m + g for m, g in zip(first, gradients)]
                updates = first
            elif options["inner_optimizer"] == "adam":
                first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients)]
                second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, gradients)]
                corrected = [(m / (1 - 0.9 ** (t + 1)), v / (1 - 0.999 ** (t + 1))) for m, v in zip(first, second)]
                updates = [m / (v.sqrt() + 1e-8) for m, v in corrected]
            else:
                updates = gradients
            if learned:
                logit = rows[t] @ module["learnable_ttt_lr_weight"][h, 0] + module["learnable_ttt_lr_bias"][h, 0]
                rate = options["base_lr"] * torch.sigmoid(logit) / d
            else:
                rate = options["eta"]
            sums = [s + rate * u for s, u in zip(sums, updates)]
            scale = 1.0
            if learned and options["token_scale"]:
                trained = module["learnable_token_idx"][i] if i < len(module["learnable_token_idx"]) else 0.0
                scale = torch.clamp(torch.as_tensor(1 / (i + 1) + trained), min=0)
            now = [w - scale * s for w, s in zip(start, sums)]
            results.append(predict(now, padded["q"][t : t + memory + 1], h))
            if i == K - 1:
                start, sums = now, [torch.zeros_like(s) for s in sums]
        return torch.stack(results)

    z = torch.stack([torch.cat([sequence(rows, h) for h in range(H)], dim=-1) for rows in x])
    z = functional.layer_norm(z, (D,), module["post_norm.weight"], module["post_norm.bias"], eps=1e-6)
    return z @ module["o_proj.weight"].T


def case(name, d_model, length, seed, **given):
    options = {"heads": 2, "inner": "linear", "inner_depth": 2, "inner_expand": 4, "inner_optimizer": "sgd"}
    options |= {"inner_bias": True, "gradient": "mini_batch", "mini_batch": 5, "eta": "learned", "base_lr": 1.0}
    options |= {"residual_norm": True, "token_scale": True, "rope_base": 10000.0, "conv_kernel": 4}
    options |= given
    H, d = options["heads"], d_model // options["heads"]
    if options["inner"] == "conv":
        shapes = [(d, options["conv_kernel"])]
    else:
        depth = options["inner_depth"] if options["inner"] == "mlp" else 1
        widths = [d] + [options["inner_expand"] * d] * (depth - 1) + [d]
        shapes = list(zip(widths, widths[1:]))
    module = nn.ParameterDict()

    def add(parameter, *shape, start=0.0):
        module[parameter] = nn.Parameter(torch.full(shape, start))

    for view in "qkvo":
        add(view + "_proj|weight", d_model, d_model)
    add("post_norm|weight", d_model, start=1.0)
    add("post_norm|bias", d_model)
    if options["eta"] == "learned":
        add("learnable_ttt_lr_weight", H, 1, d_model)
        add("learnable_ttt_lr_bias", H, 1)
        if options["token_scale"]:
            add("learnable_token_idx", 1 if options["gradient"] == "online" else options["mini_batch"])
    if options["residual_norm"]:
        add("ttt_norm_weight", H, d)
        add("ttt_norm_bias", H, d)
    for index, (rows, columns) in enumerate(shapes):
        add(f"W{index + 1}", H, rows, columns)
        if options["inner_bias"]:
            add(f"b{index + 1}", H, 1, rows if options["inner"] == "conv" else columns)
    common.randomise(module, seed)
    weights = {parameter.replace("|", "."): tensor for parameter, tensor in module.items()}
    common.case(
        "ttt",
        name,
        lambda x: definition(options, weights, x),
        weights,
        d_model,
        options,
        length=length,
        seed=seed,
        reference=f"its definition, token by token, with torch {torch.__version__}'s autograd (Sun et al. 2024)",
    )


def main():
    ttt_linear.ttt("ttt", "release_linear", d_model=16, heads=2, length=21, seed=300)
    ttt_linear.ttt("ttt", "release_mlp", d_model=16, heads=2, length=22, seed=310, mini_batch=5, base_lr=0.1, gate=True,
                   share_qk=True, kind="mlp")
    case("number", 8, 11, 320, eta=0.05, gradient="online", rope_base=0.0)
    case("batch", 8, 13, 330, gradient="batch", inner_optimizer="momentum")
    case("adam", 8, 12, 340, inner_optimizer="adam", inner="mlp", inner_expand=2, base_lr=0.1)
    case("deep", 8, 12, 350, inner="mlp", inner_depth=3, inner_expand=2, inner_optimizer="momentum", token_scale=False)
    case("conv", 8, 12, 360, inner="conv", conv_kernel=3, residual_norm=False, eta=0.02, gradient="batch")
    case("conv_learned", 16, 12, 370, inner="conv", inner_bias=False, inner_optimizer="momentum")


if __name__ == "__main__":
    main()
