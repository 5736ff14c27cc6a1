"""What does the gateway cost? Requests per second against the bare client; cached answers.

    python benchmarks/gateway.py [--requests 1500] [--concurrency 64] [--repeats 5]

Measured, in one run and in turns: (a) `openai.AsyncOpenAI` alone, so many requests under way at
once, nothing checked, counted or kept; (b) the same prompts through `Gateway`: key, cache, budget,
a row before and a row after every request in an SQLite file on disk, limiter, retry, scores. Both
talk to a server in another process on loopback that gives every request the same chat completion
with log-probabilities at once. Then (c) the gateway is asked all of it again: answers from the
cache.

How to read it: both sides and the server share this machine's cores, so the rate is that of the
client's own work, not of a network. A real endpoint takes 100 to 1,000 times longer to answer, and
the gateway's share vanishes; this is the worst case.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import openai

from asyndbt.lm import (
    AnswerCache,
    Budget,
    Gateway,
    Limiter,
    Limits,
    Prompt,
    RetryPolicy,
    make_model,
)
from common import parser, table, write_results
from endpoint import SERVER

LABELS = ("great", "terrible")
TARGETS = {"gateway": 0.9, "cached": 50.0}


def prompts(count: int, first: int) -> list[Prompt]:
    """Prompts with four demonstrations, each different."""
    shots = tuple((f"Question: is item {n} good? Answer:", LABELS[n % 2]) for n in range(4))
    return [Prompt(shots, f"Question: is item {first + n} good? Answer:") for n in range(count)]


async def bare(url: str, batch: list[Prompt], concurrency: int) -> float:
    """Seconds that the client alone takes."""
    client = openai.AsyncOpenAI(
        api_key="none", base_url=url, max_retries=0, http_client=openai.DefaultAsyncHttpxClient()
    )
    waiting = list(reversed(batch))

    async def work() -> None:
        while waiting:
            await client.chat.completions.create(
                model="m",
                messages=waiting.pop().messages,  # type: ignore[arg-type]
                temperature=0,
                max_tokens=2,
                logprobs=True,
                top_logprobs=20,
            )

    async with client:
        await work_once(client, batch[0])
        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return time.perf_counter() - start


async def work_once(client: openai.AsyncOpenAI, prompt: Prompt) -> None:
    """Open the first connection, and import what is imported late."""
    await client.chat.completions.create(model="m", messages=prompt.messages)  # type: ignore[arg-type]


async def through(
    url: str, batch: list[Prompt], concurrency: int, file: Path
) -> tuple[float, float, int]:
    """Seconds through the gateway, seconds for the same from its cache, requests sent."""
    model = make_model("openai", model="m", base_url=url, system="")
    limiter = Limiter(concurrency)
    for _ in range(concurrency):
        limiter.answered()
    with AnswerCache(file) as cache:
        gateway = Gateway(model, cache, Budget(Limits(calls=10**6)), RetryPolicy(limiter))
        await gateway.ask(prompts(1, -1), LABELS)
        start = time.perf_counter()
        await gateway.ask(batch, LABELS)
        sent = time.perf_counter()
        await gateway.ask(batch, LABELS)
        again = time.perf_counter()
        await model.close()
        return sent - start, again - sent, gateway.ledger().sent - 1


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=1, tasks=False)
    options.add_argument("--requests", type=int, default=1_500)
    options.add_argument("--concurrency", type=int, default=64)
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    if args.quick:
        args.requests, args.repeats = 300, 2
    with subprocess.Popen([sys.executable, "-c", SERVER, "0"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            runs = [measure(url, args.requests, args.concurrency, n) for n in range(args.repeats)]
        finally:
            server.terminate()
    report(runs, args)


def measure(url: str, count: int, concurrency: int, number: int) -> dict[str, float]:
    """One turn of all three; who is first alternates."""
    batch = prompts(count, 0)
    with TemporaryDirectory(prefix="asyndbt-benchmark-") as folder:
        times = {}
        for kind in ("bare", "gateway") if number % 2 else ("gateway", "bare"):
            if kind == "bare":
                times["bare"] = asyncio.run(bare(url, batch, concurrency))
            else:
                file = Path(folder) / "answers.sqlite"
                sent, cached, requests = asyncio.run(through(url, batch, concurrency, file))
                assert requests == count
                times |= {"gateway": sent, "cached": cached}
    return {kind: count / seconds for kind, seconds in times.items()}


def report(runs: list[dict[str, float]], args: object) -> None:
    """Print and write the figures."""
    rates = {kind: statistics.median(run[kind] for run in runs) for kind in runs[0]}
    share = statistics.median(run["gateway"] / run["bare"] for run in runs)
    cached = statistics.median(run["cached"] / run["gateway"] for run in runs)
    rows = [
        ["bare client", f"{rates['bare']:,.0f}", "1.00", "", ""],
        verdict("gateway", rates["gateway"], share, "of the bare client"),
        verdict("cached", rates["cached"], cached, "times a request"),
    ]
    text = "\n".join(
        [
            f"# The gateway at {args.concurrency} requests under way\n",  # type: ignore[attr-defined]
            f"Median of {len(runs)} turns; ratios are taken within a turn.\n",
            table(["", "requests per second", "ratio", "target", "met"], rows),
        ]
    )
    figures = {"share": share, "cached": cached, "runs": json.loads(json.dumps(runs))}
    write_results("gateway", text, figures, args)  # type: ignore[arg-type]


def verdict(kind: str, rate: float, ratio: float, unit: str) -> list[str]:
    """One row of the table."""
    target = TARGETS[kind]
    met = "yes" if ratio >= target else "**no**"
    return [kind, f"{rate:,.0f}", f"{ratio:.2f} {unit}", f">= {target:g}", met]


if __name__ == "__main__":
    main()
