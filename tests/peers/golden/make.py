"""Makes the reference cases of tests/golden again: make.py [LAYER...]; every file of this folder, or those named."""

import importlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def main(layers):
    known = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("common", "make"))
    unknown = sorted(set(layers) - set(known))
    if unknown:
        sys.exit(f"make.py: no reference for {', '.join(unknown)}; there are {', '.join(known)}")
    for layer in layers or known:
        # A reference file makes its cases in main(), so that one can import what another defines.
        importlib.import_module(layer).main()


if __name__ == "__main__":
    main(sys.argv[1:])
