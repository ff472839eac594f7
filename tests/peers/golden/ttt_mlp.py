"""TTT-MLP of its authors' release: see ttt_linear.py."""

from ttt_linear import ttt


def main():
    ttt("ttt_mlp", "transformer", d_model=16, heads=2, length=37, seed=200)
    ttt("ttt_mlp", "mamba", d_model=16, heads=2, length=22, seed=210, mini_batch=5, gate=True, share_qk=True)
    ttt("ttt_mlp", "short", d_model=16, heads=1, length=7, seed=220, base_lr=0.5, rope_base=100.0)


if __name__ == "__main__":
    main()
