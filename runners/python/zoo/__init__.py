"""The tasks, layers and recorded runs of zoo, as NumPy arrays and plain records.

    import zoo
    task = zoo.task("mqar", vocab_size=256, seq_len=64, kv_pairs=8)
    batch = task.examples("train", count=32)          # {"tokens": int32 [32, 64], "labels": int32 [32, 64]}
    layer = zoo.layer("mamba", d_model=64)
    y, dx, gradients = layer.gradients(x, dy)
    runs = zoo.runs("runs.db")                        # what zoo recall, mad, longrange and train recorded
"""

import json as _json
import os as _os

from . import _zoo
from ._zoo import Layer, Task

__version__ = _zoo.version
__all__ = ["Layer", "Task", "examples", "layer", "layers", "load_plugin", "runs", "task", "tasks", "UNLABELLED"]

#: The label of a position that is not scored; PyTorch's cross_entropy ignores it by default.
UNLABELLED = -100


def tasks():
    """{name: {"description", "paper", "options"}} of every registered task."""
    return _json.loads(_zoo.describe_tasks())


def layers():
    """{name: {"description", "paper", "options"}} of every registered layer."""
    return _json.loads(_zoo.describe_layers())


def task(name, **options):
    """A task with these options. ValueError for settings that cannot be met."""
    return _zoo.make_task(name, _json.dumps(options))


def examples(self, split="train", seed=0, count=None, start=0, indices=None):
    """Examples start .. start+count-1 of a split, or those of `indices`, as a dict of arrays.

    tokens int32 [N, T], or reals float32 [N, T, C]; labels int32 [N, T], UNLABELLED where a position is not scored;
    targets float32 [N, T] for regression; groups int32 [N, T], indices into `groups`, for a task that has them.
    Example i of a split and seed is the same whoever makes it: the one that zoo itself trains on.
    """
    if indices is None:
        if count is None:
            raise ValueError("examples() needs count or indices")
        indices = range(start, start + count)
    indices = [int(index) for index in indices]
    if min(indices, default=0) < 0 or seed < 0:
        raise ValueError("indices and seed must not be negative")
    return self._examples(split, seed, indices)


Task.examples = examples
Task.slices = property(lambda self: dict(map(tuple, _json.loads(self._slices()))), doc="What the task's settings are called in results.")
Task.groups = property(lambda self: [tuple(pair) for pair in _json.loads(self._groups())], doc="Names and values of the groups of labels.")


def layer(name, d_model, seed=0, dtype="float32", max_length=2048, **options):
    """A layer, its parameters drawn under `seed`. ValueError for options it does not take."""
    return Layer(name, d_model, _json.dumps(options), seed, dtype, max_length)


def runs(*stores):
    """The runs of one or several stores, each a dict: id, subject, axes, setting, status, summary, epochs, slices."""
    return _json.loads(_zoo.read_runs([_os.fspath(store) for store in stores]))


def load_plugin(path):
    """Registers the layers and tasks of a plugin."""
    _zoo.load_plugin(_os.fspath(path))
