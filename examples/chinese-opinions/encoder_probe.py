r"""How well do labels follow from an encoder's vectors, without fine-tuning? A logistic regression tells.

    python encoder_probe.py cars-train.csv cars-test.csv encoders/e5-small-zh --rows 1000 500 \
        data.text_column=content data.label_column=subject data.group_by=content_id
    python encoder_probe.py 2018-E-c-En-train.txt 2018-E-c-En-dev.txt encoders/e5-small-zh starter

Each text becomes the mean of the last layer over its first 128 tokens; the regression has a label at
0.5. TF-IDF of characters stands beside, on the same rows. Fine-tuning reaches more than this: the
figures say only which of two encoders to begin with.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np


def vectors(encoder: str, texts: Sequence[str]) -> np.ndarray:
    """Return the mean vectors of texts, float32 (N, width); `encoder` is as for `multihot train`."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    from multihot.models.encoder import locate_encoder

    folder = locate_encoder(encoder).folder
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    ids = [each.ids for each in tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    means = np.empty((len(ids), model.config.hidden_size), np.float32)
    for start in range(0, len(order), 16):
        rows = order[start : start + 16]
        batch = [torch.tensor(ids[row]) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([each * 0 + 1 for each in batch], batch_first=True)
        with torch.no_grad():
            states = model(padded, attention_mask=mask).last_hidden_state
        means[rows] = ((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
    return means


def main() -> None:
    """Print micro-F1 and macro-F1 of each encoder, and of TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler

    from multihot.core.options import DataOptions
    from multihot.core.recipes import build_options, parse_assignments
    from multihot.data.labelled_file import read_examples

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("encoders", nargs="+", metavar="ENCODER|data.key=value")
    parser.add_argument("--rows", type=int, nargs=2, default=(1000, 500), metavar=("TRAIN", "TEST"))
    given = parser.parse_intermixed_args()
    options = parse_assignments(each for each in given.encoders if "=" in each)
    data = build_options(DataOptions, options.get("data", {}))
    train = read_examples(given.train, data)
    assert train.labels is not None
    test = read_examples(given.test, train.data, space=train.labels.space)
    assert test.labels is not None
    texts = [list(train.texts)[: given.rows[0]], list(test.texts)[: given.rows[1]]]
    truth, expected = train.labels.values[: given.rows[0]], test.labels.values[: given.rows[1]]

    def show(name: str, ours: object, theirs: object) -> None:
        model = OneVsRestClassifier(
            LogisticRegression(C=0.1 if name != "TF-IDF" else 10.0, max_iter=500)
        )
        predicted = model.fit(ours, truth).predict(theirs)
        scores = (
            f1_score(expected, predicted, average=each, zero_division=0)
            for each in ("micro", "macro")
        )
        print(name, *(f"{each:.3f}" for each in scores))

    print(f"{len(texts[0])} rows, tested on {len(texts[1])}: micro-F1, macro-F1")
    words = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    show("TF-IDF", words.fit_transform(texts[0]), words.transform(texts[1]))
    for encoder in (each for each in given.encoders if "=" not in each):
        scale = StandardScaler()
        ours, theirs = vectors(encoder, texts[0]), vectors(encoder, texts[1])
        show(encoder, scale.fit_transform(ours), scale.transform(theirs))


if __name__ == "__main__":
    main()
