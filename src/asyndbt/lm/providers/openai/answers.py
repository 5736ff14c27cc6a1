"""From replies to answers, by the kind of feedback."""

from __future__ import annotations

from collections.abc import Sequence

from asyndbt.errors import ModelError
from asyndbt.lm.protocol import Answer, Usage
from asyndbt.lm.providers.openai.reply import Reply
from asyndbt.lm.providers.openai.request import Feedback
from asyndbt.lm.providers.openai.scoring import label_log_probabilities, vote_log_probabilities

__all__ = ["answer_of"]


def answer_of(reply: Reply, usage: Usage, feedback: Feedback, labels: Sequence[str]) -> Answer:
    """Read a reply as the feedback wants it.

    Parameters
    ----------
    reply : Reply
        With one choice at least.
    usage : Usage
        What it cost.
    feedback : {"logprobs", "votes", "text"}
    labels : sequence of str
        The label words, in class order.

    Raises
    ------
    ModelError
        If scores are wanted and the reply has no log-probabilities.
    """
    choices = [choice for choice in reply.choices if not choice.filtered]
    if not choices:
        return Answer(None, None, usage, refusal="content filter")
    if feedback == "votes":
        texts = [choice.text for choice in choices]
        return Answer(vote_log_probabilities(texts, labels), None, usage)
    text, tokens = choices[0].text, choices[0].tokens or ()
    if feedback == "text":
        return Answer(None, text, usage)
    if text.strip() and not any(token.alternatives for token in tokens):
        raise ModelError(
            'a reply came without log-probabilities: set lm.feedback = "text"', provider="openai"
        )
    return Answer(label_log_probabilities(tokens, labels), text, usage)
