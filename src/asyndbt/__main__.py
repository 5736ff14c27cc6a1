"""``python -m asyndbt``: the same as the command ``asyndbt``."""

import sys

from asyndbt.cli import main

if __name__ == "__main__":
    sys.exit(main())
