"""Entry point as a file: `python bench/run.py [--short]`; the same as `python -m bench`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.command import main  # after the path that it needs

if __name__ == "__main__":
    sys.exit(main())
