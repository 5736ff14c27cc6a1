"""Is AsynDBT as good as DSPy's own optimizers? Programs with one choice, at equal calls.

    python benchmarks/dspy_optimizers.py [--tasks NAME ...] [--seeds 5] [--calls 1000]
    python benchmarks/dspy_optimizers.py --endpoint http://127.0.0.1:8080/v1 --model NAME

Measured: accuracy on untouched test rows of one ``dspy.Predict`` with a choice, as it is and as
`BootstrapFewShotWithRandomSearch`, `MIPROv2` and `asyndbt.dspy.AsynDBT` return it, all with the
same training and validation rows. DSPy's optimizers have no limit on calls: their candidates and
trials are as many as `--calls` pays for, and AsynDBT is given as many calls as the thriftier of
them has made with the same seed. A call is a request that was not answered before in the same
compilation; scoring the test rows is not counted.

The endpoint is the pocket model in this process, or any that speaks OpenAI's protocol, such as a
server of a Hugging Face model. The pocket model reads questions and says one word, so an adapter of
its own puts instructions as a note behind the question, and what `MIPROv2` has a model write is
drawn from the words that AsynDBT chooses from, at no call. A real model is sent DSPy's own prompts
and writes the instructions itself, which counts.

How to read it: with the pocket model the instructions of all are of the same words, and what is
compared is the search; with a real one, search and instructions.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import openai

import dspy
from asyndbt.dspy import AsynDBT
from asyndbt.pocket import TASKS, PocketServer, dataset, fragment_vocabulary
from asyndbt.prompt import fold
from common import differences, estimate, map_jobs, parser, table, write_results

ROWS: Final = {"train": 60, "validation": 40, "test": 240}
SHOWN: Final = 4
METHODS: Final = ("as it is", "random search", "MIPROv2", "AsynDBT")


@dataclass(frozen=True, slots=True)
class Job:
    """The methods on one task with one seed."""

    task: str
    seed: int
    calls: int
    rows: Mapping[str, int]
    endpoint: str | None
    model: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Accuracy on test rows in per cent, and calls, by method."""

    accuracy: Mapping[str, float]
    calls: Mapping[str, int]


class CountingLM(dspy.BaseLM):  # type: ignore[misc]
    """Asks an endpoint, remembers its answers, and counts the requests."""

    def __init__(self, endpoint: str, model: str) -> None:
        super().__init__(model=model, cache=False, temperature=0.0, max_tokens=200)
        self._client = openai.OpenAI(base_url=endpoint, api_key="none")
        self._lock, self._known = threading.Lock(), dict[str, Any]()
        self.calls = 0

    def forward(self, prompt: Any = None, messages: Any = None, **options: Any) -> Any:
        """Return what the endpoint has answered or answers."""
        asked = messages or [{"role": "user", "content": prompt}]
        sent = {"temperature": 0.0, "max_tokens": 200, **options}
        key = repr((asked, sorted(sent.items())))
        sent.pop("rollout_id", None)  # tells DSPy's caches apart what is asked again
        if key not in self._known:
            with self._lock:
                self.calls += 1
            create: Callable[..., Any] = self._client.chat.completions.create
            self._known[key] = create(model=self.model, messages=asked, **sent)
        return self._known[key]

    def forget(self) -> None:
        """Begin anew."""
        self._known.clear()
        self.calls = 0


class Author(dspy.BaseLM):  # type: ignore[misc]
    """Writes what is asked for in words of the pocket vocabulary."""

    def __init__(self, seed: int) -> None:
        super().__init__(model="author", cache=False)
        self._random = random.Random(seed)

    def forward(self, prompt: Any = None, messages: Any = None, **options: Any) -> Any:
        """Fill every field that the prompt asks for."""
        fields = dict.fromkeys(re.findall(r"\[\[ ## (\w+) ## \]\]", messages[-1]["content"]))
        words = fragment_vocabulary()
        text = "\n\n".join(
            f"[[ ## {field} ## ]]\n{' '.join(self._random.sample(words, 6))}" for field in fields
        )
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return openai.types.chat.ChatCompletion.model_validate(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "author",
                "choices": [choice],
                "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            }
        )


class OneWord(dspy.ChatAdapter):  # type: ignore[misc]
    """Puts a task as the pocket model reads it; any other signature as DSPy does."""

    def __init__(self, question: str) -> None:
        super().__init__(use_json_adapter_fallback=False)
        self._question = question

    def format(self, signature: Any, demos: Any, inputs: Any) -> Any:
        """Return a question for every demonstration and the query, with the note in each."""
        if list(signature.output_fields) != ["label"]:
            return super().format(signature, demos, inputs)
        words = fold(signature.instructions.replace("Note:", "")).rstrip(".")
        shown = []
        for demo in demos:
            shown += [self._turn(demo, words), {"role": "assistant", "content": demo["label"]}]
        return [*shown, self._turn(inputs, words)]

    def _turn(self, fields: Mapping[str, str], words: str) -> dict[str, str]:
        question = self._question.format(**{name: fold(str(fields[name])) for name in fields})
        return {"role": "user", "content": f"Question: {question} Note: {words}. Answer:"}

    def parse(self, signature: Any, completion: str) -> Any:
        """Return the word as the label."""
        if list(signature.output_fields) != ["label"]:
            return super().parse(signature, completion)
        return super().parse(signature, f"[[ ## label ## ]]\n{completion.strip()}")


def is_right(example: Any, found: Any, trace: Any = None) -> bool:
    return bool(example.label == found.label)


def compiled(method: str, job: Job, student: Any, rows: Mapping[str, Any], calls: int) -> Any:
    """Return the program as a method makes it."""
    train, validation = rows["train"], rows["validation"]
    if method == "as it is":
        return student
    if method == "AsynDBT":
        words = {} if job.endpoint else {"vocabulary": "pocket"}
        tuner = AsynDBT(calls=calls, seed=job.seed, method=words)
        return tuner.compile(student, trainset=train, valset=validation)
    evaluations = max(4, calls // (len(validation) + SHOWN))
    limits = {"max_bootstrapped_demos": SHOWN, "max_labeled_demos": SHOWN, "num_threads": 8}
    if method == "random search":
        search = dspy.BootstrapFewShotWithRandomSearch(
            is_right, num_candidate_programs=evaluations - 3, **limits
        )
        # It draws by the seeds 0, 1, ... of its candidates: others come from other rows.
        return search.compile(student, trainset=train, valset=validation)
    tuner = dspy.MIPROv2(
        is_right,
        prompt_model=None if job.endpoint else Author(job.seed),
        auto=None,
        num_candidates=max(3, evaluations // 3),
        seed=job.seed + 1,
        **limits,
    )
    return tuner.compile(
        student, trainset=train, valset=validation, num_trials=evaluations - 1, minibatch=False
    )


def work(job: Job, folder: Path) -> Outcome:
    """Compile by every method, and score what comes out."""
    task, rows = TASKS[job.task], drawn(job)
    choices = Literal[tuple(task.labels.values())]  # type: ignore[valid-type]
    inputs = {name: (str, dspy.InputField()) for name in rows["train"][0].inputs()}
    signature = dspy.Signature({**inputs, "label": (choices, dspy.OutputField())}, "answer")
    accuracy, calls = dict[str, float](), dict[str, int]()
    with asked(job) as (lm, adapter), dspy.context(lm=lm, adapter=adapter):
        for method in METHODS:
            lm.forget()
            most = min((n for n in calls.values() if n), default=job.calls)
            most = most if method == "AsynDBT" else job.calls
            program = compiled(method, job, dspy.Predict(signature), rows, most)
            calls[method] = lm.calls
            accuracy[method] = 100 * scored(program, rows["test"])
    return Outcome(accuracy, calls)


def drawn(job: Job) -> dict[str, list[Any]]:
    """Return rows of one site as examples by part, drawn by the seed."""
    rng, labels, found = random.Random(job.seed), TASKS[job.task].labels, {}
    for part, count in job.rows.items():
        rows = [dict(row) for row in dataset(job.task, part)]  # type: ignore[arg-type]
        found[part] = [
            dspy.Example(**{**row, "label": labels[row["label"]]}).with_inputs(
                *(name for name in row if name.startswith("text"))
            )
            for row in rng.sample(rows, min(count, len(rows)))
        ]
    return found


@contextmanager
def asked(job: Job) -> Iterator[tuple[CountingLM, Any]]:
    """Provide the language model and the adapter."""
    if job.endpoint:
        yield CountingLM(job.endpoint, job.model), dspy.ChatAdapter()
        return
    with PocketServer() as server:
        yield CountingLM(server.url, job.model), OneWord(TASKS[job.task].instruction)


def scored(program: Any, rows: list[Any]) -> float:
    """Return the share of right answers; one that cannot be read is wrong."""
    evaluate = dspy.Evaluate(devset=rows, metric=is_right, num_threads=8, max_errors=len(rows) + 1)
    return float(evaluate(program).score) / 100


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument("--calls", type=int, default=1000, help="of a compilation, about")
    arguments.add_argument("--endpoint", help="address of an endpoint; the pocket model without")
    arguments.add_argument("--model", default="pocket", help="its name at the endpoint")
    args = arguments.parse_args()
    rows = dict(ROWS)
    if args.quick:
        args.tasks, args.seeds, args.calls = args.tasks[:1], 1, 120
        rows = {"train": 24, "validation": 12, "test": 24}
    jobs = [
        Job(task, seed, args.calls, rows, args.endpoint, args.model)
        for task in args.tasks
        for seed in range(args.seeds)
    ]
    found = map_jobs(work, jobs, args.jobs)
    lines = [
        [
            method,
            "{:.1f} ± {:.1f}".format(*estimate([each.accuracy[method] for each in found])),
            f"{estimate([each.calls[method] for each in found])[0]:,.0f}",
        ]
        for method in METHODS
    ]
    ahead = {
        rival: differences([each.accuracy["AsynDBT"] - each.accuracy[rival] for each in found])
        for rival in METHODS[:-1]
    }
    told = "; ".join(
        f"{rival} {each['mean']:+.1f} ({each['low']:+.1f} to {each['high']:+.1f})"
        for rival, each in ahead.items()
    )
    text = "\n".join(
        [
            "# Optimizers of DSPy at equal calls\n",
            f"Accuracy on test rows in per cent, {args.seeds} seeds, {len(args.tasks)} tasks, "
            f"{args.model}.\n",
            table(["optimizer", "accuracy", "calls"], lines),
            f"AsynDBT minus the others, 95 % intervals: {told}.",
        ]
    )
    name = "dspy_optimizers" + (f"_{Path(args.model).name}" if args.endpoint else "")
    figures = {"runs": [{"job": j, "outcome": o} for j, o in zip(jobs, found, strict=True)]}
    write_results(name, text, {**figures, "ahead": ahead}, args)


if __name__ == "__main__":
    main()
