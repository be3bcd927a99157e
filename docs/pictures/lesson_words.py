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
    "zh": {
        # overview
        "tokens": "词元",
        "embeddings": "嵌入：每个词元一个 {width} 维向量",
        "layers": "{layers} 层编码器：每个词元都看得到所有词元",
        "states": "每个词元一个懂得上下文的向量",
        "head": "分类头：从 {width} 个数到 {labels} 个 logit",
        "sigmoid": "sigmoid：每个标签一个 0 到 1 的得分",
        "threshold": "阈值：决定给出哪些标签",
        "new": "新的部分，第 6 章训练",
        "pretrained": "已预训练",
        # attention
        "looks": "这个词元……",
        "looked at": "……对这些词元的注意力",
        "attention note": "第 {layer} 层，第 {head} 个头：颜色越深，注意力越强；每行之和为 1",
        # pretraining
        "masked": "掩码语言模型",
        "seen": "BERT 读到的",
        "target": "要猜出的",
        "hundred": "每 100 个词元",
        "untouched": "85 个不动",
        "mask": "12 个换成 [MASK]",
        "random": "1.5 个换成随机词元",
        "kept": "1.5 个保持原样，但也要猜",
        "next sentence": "下一句预测",
        "is next": "前后相接",
        "is random": "来自别处",
        # padding
        "padding title": "训练集的 {rows} 条消息，按词元数统计",
        "messages": "消息条数",
        "token axis": "每条消息的词元数",
        "mean": "平均 {mean}",
        "limit": "填充到 128",
        "padding share": "网络的计算量有 {share} % 花在填充上",
        # label matrix
        "text": "文本",
        "label matrix": "标签矩阵 Y：一行一条文本，一列一个标签",
        # metrics
        "truth": "真实",
        "predicted": "预测",
        "tp": "真正例",
        "fp": "假正例",
        "fn": "假负例",
        "tn": "真负例",
        "right": "完全正确",
        "wrong": "不完全正确",
        # thresholds
        "threshold axis": "所有标签共用的阈值",
        "precision": "精确率",
        "recall": "召回率",
        "micro_f1": "micro-F1",
        "best": "最优：{threshold}",
        "half": "0.5",
        "thresholds title": "验证集的 {rows} 条消息，第 6 章的模型",
    },
}
