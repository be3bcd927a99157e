"""What int8 gains and costs: speed, changed decisions, micro-F1, drift, size.

    python benchmarks/int8.py MODEL VALIDATION TEST

One thread, processor time, all contenders in turn, batches of 512 tokens sorted by length; texts in,
logits out. One threshold is fitted on VALIDATION for fp32, and again for each contender. A model
with a [CLS] head is also compared with the transformers pipeline, at its fastest batch size.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export_rivals import fastest_pipeline, interleaved
from multihot.core.instruction_set import instruction_set
from multihot.data.batches import length_sorted_batches
from multihot.data.labelled_file import read_examples
from multihot.export.graph import onnx_model
from multihot.export.int8 import SCHEMES, to_int8
from multihot.export.layer_inputs import measure_layer_inputs
from multihot.inference.artifact import load_artifact
from multihot.inference.trained_model import load_trained_model
from provenance import provenance
from show import show_and_keep

Array = npt.NDArray[Any]
_BUDGET = 512
_MEASURED_TEXTS = 400
_ALONE = 160  # texts whose logits alone are compared with those among others


def main() -> None:
    """Export, convert, measure, print and add the rows."""
    given = _arguments()
    born = provenance()
    artifact = load_artifact(given.model)
    space = artifact.decision.space
    validation = read_examples(given.validation, space=space)
    test = read_examples(given.test, space=space)
    tokenise = tokeniser(Path(given.model), artifact.max_length)
    ids = tokenise(list(validation.texts))
    models = conversions(onnx_model(load_trained_model(artifact).network), ids)
    run = {name: session(model) for name, model in models.items()}
    found = [(name, logits(run[name], ids)) for name in run]
    truths = [each.labels.values > 0.5 for each in (validation, test) if each.labels is not None]
    tests = tokenise(list(test.texts))
    rows = []
    exact: tuple[Array, Array] | None = None
    for name, on_validation in found:
        on_test = logits(run[name], tests)
        exact = exact or (on_validation, on_test)
        rows.append(
            {
                "contender": name,
                **quality(on_validation, on_test, exact, truths),
                "drift": f"{drift(run[name], tests, on_test):.1e}",
                "megabytes": f"{models[name].ByteSize() / 1e6:.1f}",
            }
        )
    slices = list(test.texts)[: given.texts]
    timed: dict[str, Callable[[], object]] = {
        name: lambda one=one: logits(one, tokenise(slices)) for name, one in run.items()
    }
    if artifact.form == "sequence_classification":
        timed |= pipelines(given.model, slices, tokenise)
        rows.append({"contender": "pipeline"})
    seconds = interleaved(timed, given.rounds)
    for row in rows:
        row.update(speed(str(row["contender"]), seconds, len(slices)))
        row["instructions"] = instruction_set()
    show_and_keep("int8_202611.csv", rows, born, keep=not given.no_row)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model folder")
    parser.add_argument("validation")
    parser.add_argument("test")
    parser.add_argument("--texts", type=int, default=800, help="of the test file, for the speed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def conversions(fp32: Any, ids: list[Array]) -> dict[str, Any]:
    """Return fp32, ONNX Runtime's own int8 and ours by name."""
    measured = measure_layer_inputs(fp32, [each[1:] for each in batches(ids[:_MEASURED_TEXTS])])
    found = {"ONNX Runtime fp32": fp32, "ONNX Runtime dynamic int8": dynamic(fp32)}
    for scheme in SCHEMES:
        found[f"{scheme} per token"] = to_int8(fp32, scheme=scheme).model
        found[f"{scheme} measured"] = to_int8(fp32, scheme=scheme, measured=measured).model
    return found


def dynamic(fp32: Any) -> Any:
    """Return what `onnxruntime.quantization` makes of the model."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch) / "fp32.onnx", Path(scratch) / "int8.onnx"
        onnx.save(fp32, before)
        quantize_dynamic(before, after, per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(after)


def tokeniser(folder: Path, max_length: int) -> Callable[[list[str]], list[Array]]:
    """Return what turns texts into token ids."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return lambda texts: [np.asarray(one.ids) for one in tokenizer.encode_batch(texts)]


def session(model: Any) -> Any:
    """Load a model with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def batches(ids: list[Array], budget: int = _BUDGET) -> Iterator[tuple[Array, Array, Array]]:
    """Yield row numbers, padded token ids and attention mask."""
    for rows in length_sorted_batches(np.array([len(one) for one in ids]), budget):
        length = max(len(ids[row]) for row in rows)
        padded = np.zeros((len(rows), length), np.int64)
        mask = np.zeros_like(padded)
        for place, row in enumerate(rows):
            padded[place, : len(ids[row])], mask[place, : len(ids[row])] = ids[row], 1
        yield rows, padded, mask


def logits(run: Any, ids: list[Array], budget: int = _BUDGET) -> Array:
    """Return the logits of all texts, (N, L)."""
    found: dict[int, Array] = {}
    for rows, padded, mask in batches(ids, budget):
        output = run.run(["logits"], {"input_ids": padded, "attention_mask": mask})[0]
        found.update(zip(rows.tolist(), output, strict=True))
    return np.stack([found[row] for row in range(len(ids))])


def drift(run: Any, ids: list[Array], among_others: Array) -> float:
    """Return the largest difference of a logit of a text alone and in its batch."""
    return float(np.abs(logits(run, ids[:_ALONE], budget=1) - among_others[:_ALONE]).max())


def quality(
    validation: Array, test: Array, exact: tuple[Array, Array], truths: list[Array]
) -> dict[str, str]:
    """Compare decisions and micro-F1 with fp32."""
    threshold, own = fitted(exact[0], truths[0]), fitted(validation, truths[0])
    changed = (test >= threshold) != (exact[1] >= threshold)
    before = micro_f1(exact[1] >= threshold, truths[1])
    return {
        "largest_logit_difference": f"{np.abs(test - exact[1]).max():.3g}",
        "flipped_percent": f"{100 * changed.mean():.3f}",
        "micro_f1": f"{micro_f1(test >= threshold, truths[1]):.4f}",
        "micro_f1_refitted": f"{micro_f1(test >= own, truths[1]):.4f}",
        "loss_points": f"{100 * (before - micro_f1(test >= own, truths[1])):.2f}",
    }


def fitted(scores: Array, truth: Array) -> float:
    """Return the threshold with the best micro-F1."""
    candidates = np.unique(np.quantile(scores, np.linspace(0.5, 0.99, 400)))
    return float(max(candidates, key=lambda each: micro_f1(scores >= each, truth)))


def micro_f1(predicted: Array, truth: Array) -> float:
    """Return micro-F1."""
    return float(2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()))


def pipelines(
    folder: str, texts: list[str], tokenise: Callable[[list[str]], list[Array]]
) -> dict[str, Callable[[], object]]:
    """Return the transformers pipeline over sorted texts with its fastest batch size."""
    order = np.argsort([len(one) for one in tokenise(texts)], kind="stable")
    return {"pipeline": fastest_pipeline(folder, [texts[row] for row in order])}


def speed(name: str, seconds: dict[str, list[float]], num_texts: int) -> dict[str, str]:
    """Return texts per processor second, and the median ratio to each reference."""
    own = np.array(seconds[name])
    row = {"texts_per_cpu_second": f"{num_texts / own.min():.0f}"}
    for column, other in (("fp32", "ONNX Runtime fp32"), ("pipeline", "pipeline")):
        if other in seconds:
            row[f"cpu_times_{column}"] = f"{np.median(np.array(seconds[other]) / own):.2f}"
    return row


if __name__ == "__main__":
    main()
