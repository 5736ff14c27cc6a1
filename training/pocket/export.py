"""Write the trained network as the half-precision file that the package ships."""

import json
from pathlib import Path

import numpy as np

from asyndbt.pocket import vocabulary

from .network import PocketNetwork

__all__ = ["export"]


def export(network: PocketNetwork, path: Path) -> None:
    """Write weights as float16 with the sizes and the vocabulary, replacing `path` at once."""
    arrays = {
        name: value.detach().float().numpy().astype(np.float16)
        for name, value in network.state_dict().items()
    }
    words = json.dumps(vocabulary()).encode()
    arrays["words"] = np.frombuffer(words, dtype=np.uint8)
    arrays["shape"] = np.array(list(network.shape.as_dict().values()), dtype=np.int64)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(path)
