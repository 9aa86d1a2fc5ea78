"""Pictures a second through the frozen SqueezeNet 1.0 at 224 px: ours against plain PyTorch.

Each side runs in a process of its own, in turn (A B A B ...), because what `quicken` sets cannot
be taken back within one.

    python benchmarks/features.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import measuring

PLAIN = """
import json, time, torch, torchvision
network = torchvision.models.squeezenet1_0().eval()
x = torch.rand(32, 3, 224, 224)
def once():
    network.features(x)
"""

OURS = """
import json, time, torch
from quickstudy import hardware
from quickstudy.network import Spec, body_only, build
machine = hardware.quicken(hardware.survey())
network = build(Spec("squeezenet1_0", 2, 224))
network.module.to(memory_format=torch.channels_last).eval()
x = torch.rand(32, 3, 224, 224).contiguous(memory_format=torch.channels_last)
precision = {precision!r}
def once():
    with body_only(network) as body, hardware.autocast("cpu", precision):
        body(x)
"""

LOOP = """
with torch.inference_mode():
    once()
    took = []
    for _ in range(6):
        began = time.perf_counter()
        once()
        took.append(time.perf_counter() - began)
print(json.dumps(32 / sorted(took)[len(took) // 2]))
"""

SIDES = {
    "plain": PLAIN,
    "ours, float32": OURS.format(precision="float32"),
    "ours, bfloat16": OURS.format(precision="bfloat16"),
}


def main() -> None:
    seen: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(4):
        for name, code in SIDES.items():
            out = subprocess.run(
                [sys.executable, "-c", code + LOOP], capture_output=True, text=True, check=True
            )
            seen[name].append(json.loads(out.stdout))
    rows = []
    for name, speeds in seen.items():
        ratios = [a / b for a, b in zip(speeds, seen["plain"], strict=True)]
        rows.append(
            {
                "side": name,
                "pictures/s, each turn": " ".join(f"{s:.0f}" for s in speeds),
                "times plain, turn by turn": " ".join(f"{r:.1f}" for r in ratios),
                "median ratio": f"{statistics.median(ratios):.2f}",
            }
        )
    measuring.keep("features", "Body features, SqueezeNet 1.0, 224 px, batch 32", rows)


if __name__ == "__main__":
    main()
