"""Training losses: the answers, a little language modelling, taught attention and read-outs.

    loss = CE(answer | candidate labels) + 0.3 CE(answer | vocabulary) + 0.05 CE(next token)
         + aux * (read-outs of word clusters and signs) + match * (-log attention mass on evidence)

The auxiliary terms are what makes a network this small learn from the labels of demonstrations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from asyndbt.pocket import FAMILIES, PAD

from .episodes import CLUSTERS, EVIDENCE, Episode
from .network import PocketNetwork, Trace

__all__ = ["Batch", "ReadOuts", "Weights", "collate", "losses"]

TAUGHT_HEADS: Final = {"same": (2, 0), "opposite": (2, 1), "clue": (1, 0), "verb": (0, 0)}
"""(layer, head) taught to look for each kind of evidence."""
NEXT_TOKEN_SAMPLE: Final = 128
SIGNS: Final = 4
MAX_CLASSES: Final = 4
NEVER: Final = -1e9


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms next to the answer loss."""

    vocabulary: float = 0.3
    next_token: float = 0.05
    read_out: float = 0.3
    evidence: float = 0.3


@dataclass
class Batch:
    """Padded episodes; positions are flat: row * tokens + position.

    Attributes
    ----------
    ids : Tensor [rows, tokens]
    answers : Tensor [n, 2 + MAX_CLASSES]
        Position, label token, candidate tokens padded with -1.
    looking : dict of Tensor [n]
        Per kind of evidence the positions that look.
    seen : dict of Tensor [m, 2]
        Per kind of evidence (index into `looking`, position in the row to look at).
    clusters : tuple of two Tensor [n, 2]
        Position and cluster, for each stage.
    signs : Tensor [n, 2 + SIGNS]
        Position, family, signs.
    shown : Tensor [n, 3]
        Position, sign index, 1 for sign +1.
    """

    ids: Tensor
    answers: Tensor
    clusters: tuple[Tensor, Tensor]
    signs: Tensor
    shown: Tensor
    looking: dict[str, Tensor] = field(default_factory=dict)
    seen: dict[str, Tensor] = field(default_factory=dict)


def collate(episodes: list[Episode]) -> Batch:
    """Episodes of similar length as one padded batch."""
    tokens = max(len(episode.ids) for episode in episodes)
    ids = torch.full((len(episodes), tokens), PAD)
    answers, signs, shown = [], [], []
    clusters: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    looking: dict[str, list[int]] = {kind: [] for kind in EVIDENCE}
    seen: dict[str, list[tuple[int, int]]] = {kind: [] for kind in EVIDENCE}
    for row, episode in enumerate(episodes):
        base = row * tokens
        ids[row, : len(episode.ids)] = torch.tensor(episode.ids)
        for at, label, labels in episode.answers:
            answers.append((base + at, label, *labels, *[-1] * (MAX_CLASSES - len(labels))))
        for index, at, good in episode.evidence:
            kind = EVIDENCE[index]
            seen[kind] += [(len(looking[kind]), position) for position in good]
            looking[kind].append(base + at)
        for at, cluster, stage in episode.clusters:
            clusters[stage].append((base + at, cluster))
        signs += [(base + at, family, *values) for at, family, values in episode.signs]
        shown += [(base + at, which, plus) for at, which, plus in episode.shown]
    return Batch(
        ids=ids,
        answers=_table(answers, 2 + MAX_CLASSES),
        clusters=(_table(clusters[0], 2), _table(clusters[1], 2)),
        signs=_table(signs, 2 + SIGNS),
        shown=_table(shown, 3),
        looking={kind: torch.tensor(rows, dtype=torch.long) for kind, rows in looking.items()},
        seen={kind: _table(rows, 2) for kind, rows in seen.items()},
    )


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> Tensor:
    return torch.tensor(rows, dtype=torch.long).view(-1, columns)


class ReadOuts(nn.Module):
    """Linear read-outs of the residual stream, used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cluster = nn.ModuleList(nn.Linear(width, len(CLUSTERS)) for _ in range(2))
        self.shown = nn.Linear(width, SIGNS * len(FAMILIES))
        self.signs = nn.Linear(width, SIGNS * len(FAMILIES))


def losses(
    network: PocketNetwork, read_outs: ReadOuts, batch: Batch, weights: Weights
) -> tuple[dict[str, Tensor], float]:
    """Weighted loss terms by name, and the share of right answers among the candidates."""
    hidden, trace = network.hidden(batch.ids)
    hidden = hidden.flatten(0, 1)
    terms: dict[str, Tensor] = {}
    right = float("nan")
    if len(batch.answers):
        terms["answer"], vocabulary, right = _answer_losses(network, hidden, batch)
        terms["vocabulary"] = weights.vocabulary * vocabulary
    terms["next"] = weights.next_token * _next_token_loss(network, hidden, batch)
    for name, term in _read_out_losses(read_outs, trace, batch).items():
        terms[name] = weights.read_out * term
    for kind, (layer, head) in TAUGHT_HEADS.items():
        if len(batch.looking[kind]):
            q, k = trace.queries[layer][:, head], trace.keys[layer][:, head]
            terms[kind] = weights.evidence * evidence_loss(
                q, k, batch.looking[kind], batch.seen[kind]
            )
    return terms, right


def _answer_losses(
    network: PocketNetwork, hidden: Tensor, batch: Batch
) -> tuple[Tensor, Tensor, float]:
    at, label, candidates = batch.answers[:, 0], batch.answers[:, 1], batch.answers[:, 2:]
    scores = network.logits(hidden[at])
    offered = scores.gather(1, candidates.clamp(min=0)).masked_fill(candidates < 0, NEVER)
    gold = (candidates == label[:, None]).int().argmax(1)
    right = (offered.argmax(1) == gold).float().mean().item()
    return functional.cross_entropy(offered, gold), functional.cross_entropy(scores, label), right


def _next_token_loss(network: PocketNetwork, hidden: Tensor, batch: Batch) -> Tensor:
    following = functional.pad(batch.ids[:, 1:], (0, 1), value=PAD).flatten()
    usable = following.ne(PAD)
    usable[batch.answers[:, 0]] = False
    places = usable.nonzero().squeeze(1)
    places = places[torch.randint(len(places), (NEXT_TOKEN_SAMPLE,))]
    return functional.cross_entropy(network.logits(hidden[places]), following[places])


def _read_out_losses(read_outs: ReadOuts, trace: Trace, batch: Batch) -> dict[str, Tensor]:
    def stream(layer: int) -> Tensor:
        x = trace.streams[layer].flatten(0, 1)
        return functional.rms_norm(x, (x.shape[-1],))

    terms: dict[str, Tensor] = {}
    for stage, rows in enumerate(batch.clusters):
        scores = read_outs.cluster[stage](stream(stage)[rows[:, 0]])
        terms[f"cluster{stage}"] = functional.cross_entropy(scores, rows[:, 1])
    if len(batch.shown):
        at, which, plus = batch.shown.T
        scores = read_outs.shown(stream(1)[at]).gather(1, which[:, None]).squeeze(1)
        terms["shown"] = functional.binary_cross_entropy_with_logits(scores, plus.float())
    if len(batch.signs):
        at, family, signs = batch.signs[:, 0], batch.signs[:, 1], batch.signs[:, 2:]
        scores = read_outs.signs(stream(-1)[at]).view(len(at), -1, SIGNS)
        scores = scores[torch.arange(len(at)), family]
        used = signs != 0
        terms["signs"] = functional.binary_cross_entropy_with_logits(
            scores[used], (signs[used] > 0).float()
        )
    return terms


def evidence_loss(q: Tensor, k: Tensor, looking: Tensor, seen: Tensor) -> Tensor:
    """-log attention mass of one head on the evidence.

    Parameters
    ----------
    q, k : Tensor [rows, tokens, head width]
    looking : Tensor [n]
        Flat positions of the queries.
    seen : Tensor [m, 2]
        (index into `looking`, position in the row).
    """
    tokens = q.shape[1]
    row, at = looking // tokens, looking % tokens
    scores = torch.einsum("nd,ntd->nt", q[row, at], k[row]) * q.shape[-1] ** -0.5
    later = torch.arange(tokens)[None] > at[:, None]
    log_attention = scores.masked_fill(later, NEVER).log_softmax(1)
    good = torch.zeros_like(log_attention, dtype=torch.bool)
    good[seen[:, 0], seen[:, 1]] = True
    mass: Tensor = log_attention.masked_fill(~good, NEVER).logsumexp(1)
    return -mass.mean()
