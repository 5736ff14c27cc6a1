"""Run a command that ends when its starter does, however that ended: ``python -m ... COMMAND``.

The starter holds the other end of standard input. When that is closed the command is terminated,
and killed after ten seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType

_PATIENCE = 10.0


def main() -> int:
    """Run the command in the arguments; return its exit code."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def end(signum: int = 0, frame: FrameType | None = None) -> None:
        child.terminate()
        timer = threading.Timer(_PATIENCE, child.kill)
        timer.daemon = True
        timer.start()

    def watch() -> None:
        while os.read(0, 1):
            pass
        end()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main() & 0xFF)
