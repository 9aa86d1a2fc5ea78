"""Peak memory of a whole run on 2,000 and on 100,000 generated pictures: it must stay flat.

python benchmarks/memory.py [BUDGET]
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

import measuring

CLASSES = 10
SIDE = 96


def generate(root: Path, number: int) -> None:
    """Write `number` JPEGs of striped noise; the stripes' angle is the class."""
    for label in range(CLASSES):
        (root / str(label)).mkdir(parents=True)
    y, x = np.mgrid[:SIDE, :SIDE]

    def one(i: int) -> None:
        rng = np.random.default_rng(i)
        label = i % CLASSES
        angle = np.pi * label / CLASSES
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.5 + rng.uniform(0, 6))
        pixels = 128 + 60 * wave[..., None] + rng.normal(0, 30, (SIDE, SIDE, 3))
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        picture.save(root / str(label) / f"{i}.jpg", quality=80)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(one, range(number), chunksize=64):
            pass


def main() -> None:
    budget = sys.argv[1] if len(sys.argv) > 1 else "3m"
    rows = []
    for number in (2_000, 100_000):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name) / "pictures"
            generate(root, number)
            told, took, peak = measuring.learn(root, "--weights", "none", "--budget", budget)
        used = sum(sum(part.values()) for part in told["data"]["counts"].values())
        rows.append(
            {
                "pictures": f"{number:,}",
                "decoded and used": f"{used:,}",
                "peak MB": f"{peak:.0f}",
                "seconds": f"{took:.0f}",
                "test accuracy": f"{100 * told['test']['accuracy']:.1f} %",
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    measuring.keep("memory", f"Memory against the number of pictures, budget {budget}", rows)


if __name__ == "__main__":
    main()
