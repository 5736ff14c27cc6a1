"""Real sentences over HTTP, end to end: tune, count, and look at what the model makes of them.

    python benchmarks/sentences.py DATA [--tasks sst2 ...] [--seeds 1] [--model NAME --base-url URL]

DATA is a folder with NAME/train.jsonl and NAME/dev.jsonl (rows text_a, text_b, context, label) for
sst2, cola, mrpc, qqp, 5g and trec; the data are not part of this project, and a name that is not
there is skipped. Without --base-url, `asyndbt serve-model pocket` is started and asked over
loopback as any endpoint would be.

Measured: accuracy on 90 rows of dev that nothing is decided by (plain prompt, random
demonstrations, tuned prompt; 95 % intervals), the ledger, and, for the server started here, whether
the ledger is its own count of requests.

How to read it: the pocket model has never seen real sentences, and most of their words are unknown
to it. Its figures here say that the way works, and nothing about any other model.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asyndbt._api import tune
from asyndbt.config import Config
from common import parser, table, write_results

TASKS = ("sst2", "cola", "mrpc", "qqp", "5g", "trec")
TREC = {
    "instruction": "What does the question {text_a} ask for?",
    "labels": {
        "0": "abbreviation",
        "1": "entity",
        "2": "description",
        "3": "person",
        "4": "place",
        "5": "number",
    },
}
SITES, CALLS = 3, 600
KINDS = ("plain", "random_icl", "tuned")


@contextmanager
def pocket_endpoint(log: Path) -> Iterator[str]:
    """Address of a pocket model served on loopback; its log has a line per request."""
    command = [sys.executable, "-m", "asyndbt", "serve-model", "pocket", "--port", "0"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, "--verbose"], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as server,
    ):
        try:
            assert server.stdout is not None
            yield next(line.split('"')[1] for line in server.stdout if line.startswith("base_url"))
        finally:
            server.terminate()


def config_for(task: str, seed: int, args: argparse.Namespace, url: str, folder: Path) -> Config:
    """Three sites by a random partition, 10 training rows a class and site."""
    data = args.data / task
    tables: dict[str, Any] = {
        "task": TREC if task == "trec" else {"template": task},
        "data": {
            "train": str(data / "train.jsonl"),
            "test": str(folder / "test.jsonl"),
            "partition": {"sites": SITES},
            "pool_per_class": 5,
            "train_per_class": 10,
            "validation_per_class": 5,
            "max_chars": 1200,
        },
        "lm": {"provider": "openai", "model": args.model, "base_url": url},
        "method": {"random_icl_draws": 2, "demonstrations_total": 4},
        "budget": {"test_share": 1.0, "per_site": {"calls": CALLS + 4 * args.rows // SITES}},
        "run": {"seed": seed, "dir": str(folder / "run")},
    }
    if args.api_key_env:
        tables["lm"]["api_key_env"] = args.api_key_env
    lines = (data / "dev.jsonl").read_text("utf-8").splitlines()
    (folder / "test.jsonl").write_text("\n".join(lines[: args.rows]) + "\n", encoding="utf-8")
    return Config.from_dict(tables)


def measure(task: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Tune one task once."""
    with TemporaryDirectory(prefix="asyndbt-benchmark-") as name:
        folder, log = Path(name), Path(name) / "server.log"
        start = time.perf_counter()
        if args.base_url:
            data = tune(config_for(task, seed, args, args.base_url, folder)).data
            counted = None
        else:
            with pocket_endpoint(log) as url:
                data = tune(config_for(task, seed, args, url, folder)).data
            counted = log.read_text().count("/v1/chat/completions")
        return {
            "task": task,
            "seed": seed,
            "test": data["metrics"]["test"],
            "ledger": data["ledger"],
            "model": data["model"],
            "counted": counted,
            "warnings": data["warnings"],
            "seconds": time.perf_counter() - start,
        }


def row(run: dict[str, Any]) -> list[str]:
    """One line of the table."""
    cells = []
    for kind in KINDS:
        score = run["test"][kind]
        low, high = score["interval"]
        cells.append(f"{100 * score['accuracy']:.1f} [{100 * low:.0f}, {100 * high:.0f}]")
    ledger = run["ledger"]
    counted = "" if run["counted"] is None else f"{run['counted']:,}"
    return [
        run["task"],
        str(run["seed"]),
        *cells,
        f"{ledger['calls']:,}",
        f"{ledger['sent']:,}",
        counted,
        f"{ledger['refused'] + ledger['failed']:,}",
        f"{ledger['tokens_in'] + ledger['tokens_out']:,}",
        f"{run['seconds']:.0f}",
    ]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=1, tasks=False)
    options.add_argument("data", type=Path, metavar="DATA", help="folder of the data sets")
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options.add_argument("--rows", type=int, default=90, help="rows of dev")
    options.add_argument("--model", default="pocket")
    options.add_argument("--base-url", help="of another endpoint")
    options.add_argument("--api-key-env", help="variable that holds its key")
    args = options.parse_args()
    there = [task for task in args.tasks if (args.data / task / "train.jsonl").exists()]
    for task in sorted(set(args.tasks) - set(there)):
        print(f"{task}: not present", file=sys.stderr)
    if args.quick:
        there = there[:1]
    runs = [measure(task, seed, args) for task in there for seed in range(args.seeds)]
    head = ["data", "seed", "plain", "random demonstrations", "tuned", "calls", "sent"]
    head += ["server's count", "no answer", "tokens", "seconds"]
    text = "\n".join(
        [
            f"# Real sentences over HTTP: {args.model}\n",
            f"Accuracy on {args.rows} untouched rows with 95 % intervals; {SITES} sites, "
            f"{CALLS} calls a site for tuning and choosing.\n",
            table(head, map(row, runs)),
        ]
    )
    args.data = args.data.name
    write_results("sentences", text, {"runs": runs}, args)


if __name__ == "__main__":
    main()
