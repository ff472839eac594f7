"""What the reference files share: random tensors, gradients by autograd, and the file a case is kept in.

A reference file builds a public implementation in float64 and hands each case over. The numbers that go in (weights, x,
dy) must be float32 values, so that both sides compute from the same: draw them with random() and randomise().
"""

import json
import pathlib

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "golden"

torch.set_default_dtype(torch.float64)


def as_float32(tensor):
    """The values rounded to float32, still as float64."""
    return tensor.detach().float().double()


def random(*shape, scale=1.0, shift=0.0, seed=0):
    """N(shift, scale) rounded to float32, as float64; the same for the same shape and seed."""
    generator = torch.Generator().manual_seed(seed)
    return as_float32(torch.randn(*shape, generator=generator) * scale + shift)


def randomise(module, seed=0, scale=None, shifts=None):
    """Gives every parameter of a module random values: matrices N(0, 1/sqrt(fan in)), or N(0, scale), everything else
    its present value + N(0, 0.2), so that norms and biases are away from 1 and 0. `shifts` names values to start from
    instead of the present one: {"time_decay": -1.0}."""
    with torch.no_grad():
        for index, (name, parameter) in enumerate(module.named_parameters()):
            shape = tuple(parameter.shape)
            start = (shifts or {}).get(name)
            if parameter.dim() >= 2 and start is None:
                deviation = scale if scale is not None else shape[-1] ** -0.5
                parameter.copy_(random(*shape, scale=deviation, seed=seed + 1000 + index))
            else:
                base = parameter if start is None else torch.full(shape, float(start))
                parameter.copy_(as_float32(base + random(*shape, scale=0.2, seed=seed + 1000 + index)))


def case(layer, case, forward, weights, d_model, options=None, batch=2, length=24, seed=0, scale=1.0, reference="",
         in_float32=None):
    """Runs forward(x) on a random x [batch, length, d_model], takes the gradients of sum(y * dy), and saves the case.

    `weights` maps the layer's parameter names to the tensors (leaves of autograd, float64) that forward reads.
    `reference` says in a few words what forward is, with its version. `scale` is the deviation of x.
    `in_float32`, the same module in float32, tells what float32 makes of gradients that are sums of terms of both signs:
    its own errors are kept, where they are large.
    """
    x = random(batch, length, d_model, scale=scale, seed=seed + 1).requires_grad_()
    dy = random(batch, length, d_model, seed=seed + 2)
    for tensor in weights.values():
        tensor.requires_grad_()
        tensor.grad = None
    y = forward(x)
    assert y.dtype == torch.float64 and y.shape == x.shape, (y.dtype, y.shape)
    # What is shared by two names gets its gradient once, so gradients are asked for by tensor.
    grads = torch.autograd.grad((y * dy).sum(), [x, *weights.values()], allow_unused=True)
    grads = [torch.zeros_like(t) if g is None else g for g, t in zip(grads, [x, *weights.values()])]
    save(
        layer=layer,
        case=case,
        options=options or {},
        d_model=d_model,
        weights=weights,
        x=x,
        y=y,
        dy=dy,
        dx=grads[0],
        grads=dict(zip(weights, grads[1:])),
        reference=reference,
        float32_errors={} if in_float32 is None else float32_errors(in_float32, x, dy, dict(zip(weights, grads[1:]))),
    )


def float32_errors(module, x, dy, grads):
    """Root mean square errors of a float32 module's gradients of sum(y * dy), relative to those of `grads`; by name, those
    above 1e-6 alone."""
    (module(x.detach().float()) * dy.float()).sum().backward()
    errors = {}
    for name, parameter in module.named_parameters():
        difference = (parameter.grad.double() - grads[name]).square().mean().sqrt()
        error = (difference / grads[name].square().mean().sqrt()).item()
        if error > 1e-6:
            errors["grad." + name] = float(f"{error:.2g}")
    return errors


def save(*, layer, case, options, d_model, weights, x, y, dy, dx, grads, reference="", float32_errors=None):
    """Writes tests/golden/<layer>/<case>.safetensors: x, dy, y, dx [B,T,D], w.<parameter>, grad.<parameter> as float32,
    and the layer, its options (JSON), the reference and its own errors in float32 (JSON) as metadata. Refuses what a test could not be made of."""
    assert x.dim() == 3 and x.shape[-1] == d_model, x.shape
    assert set(grads) == set(weights), set(grads) ^ set(weights)
    given = {"x": x, "dy": dy, **{"w." + name: tensor for name, tensor in weights.items()}}
    computed = {"y": y, "dx": dx, **{"grad." + name: tensor for name, tensor in grads.items()}}
    for name, tensor in given.items():
        assert torch.equal(tensor.detach(), as_float32(tensor)), f"{name} must hold float32 values: use random()"
    for name, tensor in computed.items():
        assert tensor.dtype == torch.float64, f"{name} is {tensor.dtype}: compute the reference in float64"
        assert torch.isfinite(tensor).all(), f"{name} is not finite"
        if name.startswith("grad."):
            assert tensor.shape == weights[name[5:]].shape, name
        else:
            assert tensor.shape == x.shape, name
    tensors = {name: tensor.detach().float().contiguous().clone() for name, tensor in {**given, **computed}.items()}
    metadata = {"layer": layer, "options": json.dumps(options, sort_keys=True), "reference": reference}
    if float32_errors:
        metadata["float32_errors"] = json.dumps(float32_errors, sort_keys=True)
    path = FOLDER / layer / f"{case}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)
    print(f"{path.relative_to(FOLDER)}: {path.stat().st_size / 1e3:.0f} kB")
