"""The words in the figures of the lesson, by language: a new language is one more table here."""

from __future__ import annotations

__all__ = ["WORDS"]

WORDS: dict[str, dict[str, str]] = {
    "en": {
        # overview
        "tokens": "tokens",
        "embeddings": "embeddings: one vector of {width} numbers per token",
        "layers": "{layers} encoder layers: every token looks at all tokens",
        "states": "one vector per token that knows its context",
        "head": "head: {width} numbers to {labels} logits",
        "sigmoid": "sigmoid: a score between 0 and 1 per label",
        "threshold": "threshold: which labels are predicted",
        "new": "new, trained in chapter 6",
        "pretrained": "pretrained",
        # attention
        "looks": "this token ...",
        "looked at": "... looks at these",
        "attention note": "layer {layer}, head {head}: darker = more attention; each row sums to 1",
        # pretraining
        "masked": "masked-language modelling",
        "seen": "what BERT reads",
        "target": "what it must predict",
        "hundred": "of 100 tokens",
        "untouched": "85 untouched",
        "mask": "12 replaced by [MASK]",
        "random": "1.5 replaced by a random token",
        "kept": "1.5 left as they are, but predicted",
        "next sentence": "next-sentence prediction",
        "is next": "follows",
        "is random": "from elsewhere",
        # padding
        "padding title": "{rows} messages of the training file, by number of tokens",
        "messages": "messages",
        "token axis": "tokens per message",
        "mean": "mean {mean}",
        "limit": "padded to 128",
        "padding share": "{share} % of what the network computes is padding",
        # label matrix
        "text": "text",
        "label matrix": "label matrix Y: one row per text, one column per label",
        # metrics
        "truth": "true",
        "predicted": "predicted",
        "tp": "true positive",
        "fp": "false positive",
        "fn": "false negative",
        "tn": "true negative",
        "right": "exactly right",
        "wrong": "not exactly right",
        # thresholds
        "threshold axis": "one threshold for all labels",
        "precision": "precision",
        "recall": "recall",
        "micro_f1": "micro-F1",
        "best": "best: {threshold}",
        "half": "0.5",
        "thresholds title": "{rows} validation messages, a model of chapter 6",
    },
}
