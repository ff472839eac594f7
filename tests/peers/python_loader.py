"""A PyTorch model learns from a zoo task's examples, read with PyTorch's DataLoader in two worker processes.

A few passes teach it that the answer is one of the eight values of the context, 1/8 right, where knowing nothing is
1/128: enough to see that examples arrive as they should. Recall itself takes longer.
"""

import torch
import zoo
from torch import nn
from torch.utils.data import DataLoader, Dataset

EXAMPLES, BATCH, D_MODEL = 20_000, 64, 64


class Examples(Dataset):
    def __init__(self, task, split, count):
        self.task, self.split, self.count = task, split, count

    def __len__(self):
        return self.count

    def __getitems__(self, indices):
        batch = self.task.examples(self.split, indices=indices)
        return list(zip(torch.from_numpy(batch["tokens"]), torch.from_numpy(batch["labels"])))


class Model(nn.Module):
    """Two blocks of causal attention, as zoo recall's attention has."""

    def __init__(self, task):
        super().__init__()
        self.embedding = nn.Embedding(task.vocab_size, D_MODEL)
        self.positions = nn.Embedding(task.seq_len, D_MODEL)
        self.head = nn.Linear(D_MODEL, task.vocab_size)
        self.norms = nn.ModuleList(nn.LayerNorm(D_MODEL) for _ in range(3))
        self.mixers = nn.ModuleList(nn.MultiheadAttention(D_MODEL, 1, batch_first=True) for _ in range(2))

    def forward(self, tokens):
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.embedding(tokens) + self.positions.weight[:length]
        for norm, mixer in zip(self.norms, self.mixers):
            h = norm(x)
            x = x + mixer(h, h, h, attn_mask=mask, is_causal=True, need_weights=False)[0]
        return self.head(self.norms[-1](x))


def accuracy(model, task):
    batch = task.examples("test", count=500)
    tokens, labels = torch.from_numpy(batch["tokens"]), torch.from_numpy(batch["labels"])
    with torch.no_grad():
        said = model(tokens).argmax(-1)
    scored = labels != zoo.UNLABELLED
    return (said[scored] == labels[scored]).float().mean().item()


def main():
    torch.manual_seed(0)
    task = zoo.task("mqar", vocab_size=256, seq_len=64, kv_pairs=8)
    model = Model(task)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(Examples(task, "train", EXAMPLES), batch_size=BATCH, shuffle=True, num_workers=2)
    for epoch in range(1, 7):
        for tokens, labels in loader:
            loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), labels.flatten().long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reached = accuracy(model, task)
        print(f"epoch {epoch}: loss {loss.item():.3f}, test accuracy {reached:.3f}", flush=True)
        if reached > 0.11:
            return 0
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
