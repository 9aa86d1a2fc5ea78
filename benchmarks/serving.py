"""The server: throughput, latency at half of it, and hours of good and hostile requests.

    python benchmarks/serving.py speed MODEL FILES        # a model's folder, a folder of files
    python benchmarks/serving.py soak MODEL FILES 600     # seconds

The client is a process of its own that speaks HTTP over bare sockets, so that it costs little.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import measuring

CONNECTIONS, BATCH = 32, 32
MOST = 300  # files


def files_of(folder: str) -> list[bytes]:
    found = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    random.Random(0).shuffle(found)
    return [p.read_bytes() for p in found[:MOST]]


@contextlib.contextmanager
def server(model: str, *options: str) -> Iterator[tuple[int, int]]:
    """Lend a server: its port and its process."""
    command = [
        sys.executable,
        "-m",
        "quickstudy",
        "serve",
        model,
        "--port",
        "0",
        "--json",
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        yield int(url.rpartition(":")[2]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        if code:
            raise SystemExit(f"the server ended with {code}")


# The client.


def posted(body: bytes, path: str = "/predict", kind: str = "application/octet-stream") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(port: int, request: bytes, streams: list[Any]) -> tuple[int, bytes]:
    """Send a request over a kept connection; return status and body."""
    if not streams:
        streams[:] = await asyncio.open_connection("127.0.0.1", port)
    reader, writer = streams
    writer.write(request)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    if b"connection: close" in head.lower():
        writer.close()
        streams.clear()
    return int(head[9:12]), body


async def closed_loop(
    port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> dict[str, Any]:
    """Ask over so many connections, each again as soon as it is answered."""
    end, number = time.perf_counter() + seconds, 0
    took: list[float] = []
    statuses: Counter[int] = Counter()

    async def one() -> None:
        nonlocal number
        streams: list[Any] = []
        while (began := time.perf_counter()) < end:
            number += 1
            status, _ = await ask(port, requests[number % len(requests)], streams)
            statuses[status] += 1
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return told(took, statuses, time.perf_counter() - began)


async def open_loop(
    port: int, requests: Sequence[bytes], rate: float, seconds: float
) -> dict[str, Any]:
    """Ask so often a second, at random moments (Poisson), whatever is answered when."""
    rng = random.Random(1)
    took: list[float] = []
    statuses: Counter[int] = Counter()
    free: list[list[Any]] = []

    async def one(request: bytes) -> None:
        began = time.perf_counter()
        streams = free.pop() if free else []
        try:
            status, _ = await ask(port, request, streams)
        except (OSError, asyncio.IncompleteReadError):  # an idle connection was closed meanwhile
            streams = []
            status, _ = await ask(port, request, streams)
        free.append(streams)
        statuses[status] += 1
        took.append(time.perf_counter() - began)

    began = time.perf_counter()
    tasks, due = [], began
    while due - began < seconds:
        tasks.append(asyncio.create_task(one(requests[len(tasks) % len(requests)])))
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.gather(*tasks)
    return told(took, statuses, time.perf_counter() - began)


def told(took: list[float], statuses: Counter[int], seconds: float) -> dict[str, Any]:
    p50, p99 = (1000 * np.percentile(took, (50, 99))).round(2).tolist() if took else (0, 0)
    return {"rate": len(took) / seconds, "p50": p50, "p99": p99, "statuses": dict(statuses)}


def client(*words: Any) -> dict[str, Any]:
    """Run a client in a process of its own."""
    command = [sys.executable, __file__, "client", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout))


def as_client(how: str, port: str, folder: str, load: str, seconds: str) -> None:
    requests = [posted(one) for one in files_of(folder)]
    if how == "closed":
        found = asyncio.run(closed_loop(int(port), requests, int(load), float(seconds)))
    else:
        found = asyncio.run(open_loop(int(port), requests, float(load), float(seconds)))
    print(json.dumps(found))


# What is measured.


def cpu_of(process: int) -> float:
    """Return the processor's seconds that a process has used."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def bare(model: str, folder: str, seconds: float) -> tuple[float, float, float]:
    """Return examples a second in batches, milliseconds of one, and the processor's for one.

    In one process, without a server.
    """
    command = [sys.executable, __file__, "bare", model, folder, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, one, cpu = json.loads(done.stdout)
    return rate, one, cpu


def as_bare(model: str, folder: str, seconds: str) -> None:
    from quickstudy.hardware import keep_memory
    from quickstudy.loading import answering

    keep_memory()
    files, runtime = files_of(folder), answering(model)
    how = runtime.preparation
    for size in (BATCH, 1):
        runtime.told([how.values(raw) for raw in files[:size]])
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < float(seconds):
        some = [files[(done + i) % len(files)] for i in range(BATCH)]
        runtime.told([how.values(raw) for raw in some])
        done += BATCH
    rate, cpu = done / (time.perf_counter() - began), (time.process_time() - cpu) / done
    took = []
    for raw in files[:200]:
        began = time.perf_counter()
        runtime.told([how.values(raw)])
        took.append(time.perf_counter() - began)
    print(json.dumps([rate, 1000 * float(np.median(took)), 1000 * cpu]))


def speed(model: str, folder: str, seconds: str = "20", turns: str = "3") -> list[dict[str, Any]]:
    """Bare and served by turns, A B A B; the ratios of each turn."""
    rows = []
    with server(model) as (port, process):
        client("closed", port, folder, CONNECTIONS, 3)
        for turn in range(int(turns)):
            rate, one, cpu = bare(model, folder, float(seconds))
            before = cpu_of(process)
            served = client("closed", port, folder, CONNECTIONS, seconds)
            used = 1000 * (cpu_of(process) - before) / sum(served["statuses"].values())
            alone = client("closed", port, folder, 1, min(10.0, float(seconds)))
            half = client("open", port, folder, served["rate"] / 2, seconds)
            rows.append(
                {
                    "turn": turn + 1,
                    "bare, examples/s": round(rate, 1),
                    "served, requests/s": round(served["rate"], 1),
                    "served / bare": round(served["rate"] / rate, 3),
                    "bare, processor ms": round(cpu, 2),
                    "served, processor ms": round(used, 2),
                    "bare, ms of one": round(one, 2),
                    "served alone, p50 ms": alone["p50"],
                    "at half load, p50 ms": half["p50"],
                    "at half load, p99 ms": half["p99"],
                    "p99 / bare": round(half["p99"] / one, 2),
                    "statuses": {**served["statuses"], **half["statuses"]},
                }
            )
    return rows


def memory_of(process: int) -> float:
    """Return the resident set in MB."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def bomb() -> bytes:
    """Return a PNG of 20 kB that claims 900 million pixels."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(20_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def large_picture() -> bytes:
    """Return a PNG of 40 million pixels: within the limits, and heavy."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (8000, 5000), (90, 120, 30)).save(out, "PNG")
    return out.getvalue()


def hostile(files: Sequence[bytes]) -> list[bytes]:
    """Return requests that a server refuses, or has to work hard for."""
    one, rng = files[0], random.Random(2)
    flipped = []
    for raw in files[:40]:
        broken = bytearray(raw)
        for _ in range(20):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        flipped.append(posted(bytes(broken)))
    form = "multipart/form-data; boundary=x"
    return [
        *flipped,
        posted(bomb()),
        posted(large_picture()),
        posted(one[: len(one) // 2]),
        posted(b""),
        posted(b"[" * 200_000, kind="application/json"),
        posted(b'{"examples": [{"base64": "%%%"}]}', kind="application/json"),
        posted(b'{"examples": [' + b"{}," * 15_000 + b"{}]}", kind="application/json"),
        posted(b"--x\r\nContent-Disposition: form-data; name=files\r\n\r\n", kind=form),
        posted(os.urandom(100_000), kind=form),
        posted(os.urandom(100_000)),
        posted(one, "/predict?coverage=nan"),
        posted(one, "/predict?model=../../etc/passwd"),
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        os.urandom(2_000),
        posted(one, "/explain"),
    ]


async def attack(port: int, files: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """Send good and hostile requests, half and half; also slow ones, and crowds."""
    good, bad = [posted(raw) for raw in files], hostile(files)
    end, rng = time.perf_counter() + seconds, random.Random(3)
    statuses: Counter[int] = Counter()
    lost = 0

    async def one(requests: Sequence[bytes]) -> None:
        nonlocal lost
        streams: list[Any] = []
        while time.perf_counter() < end:
            try:
                async with asyncio.timeout(60):
                    status, _ = await ask(port, rng.choice(requests), streams)
                statuses[status] += 1
            except (OSError, asyncio.IncompleteReadError, ValueError, TimeoutError):
                lost += requests is good
                streams.clear()
            if requests is bad:
                await asyncio.sleep(0.02)

    async def slow() -> None:
        while time.perf_counter() < end:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(rng.choice([good[0][:200], b"GET / HTTP/1.1\r\nX: "]))
                for _ in range(30):
                    await asyncio.sleep(0.5)
                    if writer.is_closing():
                        break
                    writer.write(b"a")
                writer.close()

    async def crowd() -> None:
        while time.perf_counter() < end:
            await asyncio.sleep(20)
            opened = [asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
            found = await asyncio.gather(*opened, return_exceptions=True)
            for streams in found:
                if not isinstance(streams, BaseException):
                    streams[1].write(good[0])
            await asyncio.sleep(2)
            for streams in found:
                if not isinstance(streams, BaseException):
                    streams[1].transport.abort()

    await asyncio.gather(
        *(one(good) for _ in range(8)), *(one(bad) for _ in range(8)), *(slow() for _ in range(20)),
        crowd(),
    )  # fmt: skip
    return {"statuses": {str(k): n for k, n in sorted(statuses.items())}, "lost": lost}


def as_attack(port: str, folder: str, seconds: str) -> None:
    print(json.dumps(asyncio.run(attack(int(port), files_of(folder), float(seconds)))))


def soak(model: str, folder: str, seconds: str = "600") -> list[dict[str, Any]]:
    """Good and hostile requests for so long; memory after a warm-up of 30 s, and at the end."""
    with server(model) as (port, process):
        fresh = memory_of(process)
        attacked("30", port, folder)
        began = memory_of(process)
        command = [sys.executable, __file__, "attack", str(port), folder, seconds]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak = began
        while running.poll() is None:
            time.sleep(0.5)
            peak = max(peak, memory_of(process))
        assert running.stdout is not None
        found = json.loads(running.stdout.read())
        time.sleep(3)
        after = memory_of(process)
        five = {s: n for s, n in found["statuses"].items() if s >= "500" and s != "503"}
        return [
            {
                "seconds": seconds,
                "answers by status": found["statuses"],
                "5xx but 503": five or "none",
                "good requests cut off": found["lost"],
                "MB when ready": round(fresh),
                "MB after 30 s": round(began),
                "MB at most": round(peak),
                "MB at the end": round(after),
            }
        ]


def attacked(seconds: str, port: int, folder: str) -> None:
    command = [sys.executable, __file__, "attack", str(port), folder, seconds]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    what, *words = sys.argv[1:]
    roles = {"client": as_client, "bare": as_bare, "attack": as_attack}
    if what in roles:
        roles[what](*words)
        return
    rows = {"speed": speed, "soak": soak}[what](*words)
    title = {"speed": "Serving: throughput and latency", "soak": "Serving: good and hostile"}[what]
    measuring.keep(f"serving-{what}", title, rows)


if __name__ == "__main__":
    main()
