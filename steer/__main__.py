"""`python -m steer`, the same as `steer`."""

import sys

from steer.cli import main

if __name__ == "__main__":
    sys.exit(main())
