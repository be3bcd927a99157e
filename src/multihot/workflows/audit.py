"""Find label cells of a training file that may be wrong, and apply what people corrected.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.files import as_path, sha256_of, storage_errors, write_json
from multihot.core.memory import require_label_memory
from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.core.staging import check_new_folder
from multihot.core.text_tables import listed
from multihot.data.correcting.record import changes_path, read_record, settled_key, text_mark
from multihot.data.correcting.table import (
    TABLE_ENDINGS,
    Suspect,
    read_correction_table,
    write_correction_table,
)
from multihot.data.duplicates import normalised
from multihot.data.examples import portable
from multihot.data.labelled_file import LabelledFile, open_labelled, required_labels
from multihot.data.same_texts import OtherRows, SameTexts, same_texts
from multihot.data.stratify import unit_key
from multihot.errors import DataError, OptionError
from multihot.evaluation.audit_report import AuditedLabel, AuditReport
from multihot.evaluation.label_noise import confident_joint, fit_label_noise
from multihot.inference.fold_scores import read_fold_scores, write_fold_scores
from multihot.workflows.suspects import AuditedRows, Findings, choose_cells, suspects_of

__all__ = ["DEFAULT_FOLDS", "audit"]

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DEFAULT_FOLDS = 5
_SCORES, _REPORT, _TABLE = "out-of-fold.safetensors", "audit.json", "corrections"


def audit(
    path: str | Path,
    output: str | Path,
    *,
    options: TrainOptions | None = None,
    beside: Sequence[str | Path] = (),
    scores: str | Path | None = None,
    table: str = ".csv",
    most: int = 1000,
    resume: bool = False,
    listener: Listener | None = None,
) -> AuditReport:
    """Write a table of the label cells of a file that are most likely wrong.

    Every text is scored by networks that were not trained on it (`options.folds`, 5 by default). From
    these scores, and from rows of the same words, follows how likely each given value is wrong; unknown
    cells are never wrong, but labels that are probably true are suggested for them.

    Parameters
    ----------
    path
        A labelled file.
    output
        Folder for `corrections.csv` (or of another ending), `out-of-fold.safetensors` and `audit.json`;
        must be new or empty unless `resume`.
    options
        How to train and, in `options.data`, how to read.
    beside
        Files of other splits: their rows of the same words count as evidence, too.
    scores
        Out-of-fold scores of every row instead of training: those of an earlier audit, or a table as
        `predict` writes it.
    table
        Ending of the table: one of `TABLE_ENDINGS`.
    most
        How many suspected cells the table has at most, and how many suggestions for unknown ones.
    resume
        Continue the interrupted audit in `output`; finished folds are not trained again.
    listener
        Receives messages for people and the progress of training.

    Raises
    ------
    DataError, OptionError
        The input is invalid; training may raise others.
    """
    source, folder, listener = (
        as_path(path, "path"),
        as_path(output, "output"),
        listener or Listener(),
    )
    options = options or TrainOptions()
    _check(source, folder, table, most, resume=resume)
    digest = sha256_of(source)
    target = folder / f"{_TABLE}{table}"
    _refuse_filled(target, digest)
    file = open_labelled(path, options.data)
    for note in file.notes:
        listener.say(note)
    record = read_record(changes_path(source))[1]
    logits = _scores(file, folder, options, scores, digest, resume=resume, listener=listener)
    rows = _read(file, record)
    same = same_texts(file.space, rows.content, [_beside(each, file) for each in beside])
    findings = _findings(file, rows, logits, same)
    suspects = suspects_of(findings, choose_cells(findings, most))
    notes = write_correction_table(target, suspects, digest)
    report = replace(
        _report(findings, suspects),
        table=str(target),
        scores=str(folder / _SCORES),
        notes=tuple(notes),
    )
    write_json(folder / _REPORT, report.to_json())
    _clear(folder)
    return report


def _check(source: Path, folder: Path, table: str, most: int, *, resume: bool) -> None:
    if table not in TABLE_ENDINGS:
        raise OptionError(f"A table ends in one of {listed(TABLE_ENDINGS)}, not in {table!r}.")
    if most < 1:
        raise OptionError(f"most={most}; expected at least 1.")
    if source.is_dir():
        raise OptionError(f"{source} is a folder; an audit is of one file, which can be corrected.")
    if not source.exists():
        raise DataError("There is no such file.", path=source)
    if (folder / _REPORT).is_file():
        raise OptionError(
            f"{folder} holds a finished audit, whose table may have been filled in. Choose another --output."
        )
    if not resume:
        check_new_folder(
            folder, advice="Choose another --output, or add --resume to continue the audit in it."
        )


def _refuse_filled(table: Path, digest: str) -> None:
    """Raise `OptionError` where somebody has filled in the table of an audit that was killed after it."""
    if table.is_file() and read_correction_table(table, digest):
        raise OptionError(
            f"{table} is complete and has been filled in already, although the audit was stopped after it: "
            "apply it, or move it away to have it written again."
        )


def _scores(
    file: LabelledFile,
    folder: Path,
    options: TrainOptions,
    scores: str | Path | None,
    digest: str,
    *,
    resume: bool,
    listener: Listener,
) -> FloatArray:
    """Return out-of-fold logits, (N, L), and keep them in the folder."""
    require_label_memory(len(file), len(file.space), file.source)
    stored = folder / _SCORES
    if scores is not None:
        given = read_fold_scores(as_path(scores, "scores"), file.space, len(file), digest=digest)
    elif resume and stored.is_file():
        listener.say(f"Using the out-of-fold scores of the interrupted audit: {stored}")
        return read_fold_scores(stored, file.space, len(file), digest=digest)
    else:
        given = _trained(file, folder, options, resume=resume, listener=listener)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_fold_scores(stored, given, file.space, digest)
    return given


def _trained(
    file: LabelledFile, folder: Path, options: TrainOptions, *, resume: bool, listener: Listener
) -> FloatArray:
    """Train a network for each fold; rows without labels are shared out among the folds."""
    from multihot.core.extras import require_training

    require_training()
    from multihot.training.compute import only_run
    from multihot.training.cross_validation import labelled_rows, out_of_fold_logits
    from multihot.workflows.train import prepare

    if options.folds is None:
        options = replace(options, folds=DEFAULT_FOLDS)
    with only_run(listener):
        run = prepare(
            file, None, options, folder, start_from=None, resume=resume, listener=listener
        )
        assert options.folds is not None
        assert run.validation.fold_of is not None
        rows = np.arange(len(run.train_set))
        fold_of = rows % options.folds
        fold_of[labelled_rows(run.train_set)] = run.validation.fold_of
        return out_of_fold_logits(run.setup, run.train_set, rows, fold_of, run.directory)


def _clear(folder: Path) -> None:
    """Delete what only an unfinished audit needs."""
    if (folder / "run").is_dir():
        from multihot.training.run_directory import RunDirectory

        RunDirectory(folder / "run").clear()


def _read(file: LabelledFile, record: dict[tuple[str, str, float | None], int]) -> AuditedRows:
    keys, lines, values = list[int](), list[int](), list[FloatArray]()
    settled = set[tuple[int, int]]()
    marks = {mark for mark, _, _ in record}
    for chunk in file.chunks():
        labels = required_labels(chunk)
        for place, text in enumerate(chunk.texts if record else ()):
            if (mark := text_mark(text)) not in marks:
                continue
            for label, name in enumerate(file.space.names):
                value = float(labels.values[place, label])
                if settled_key(mark, name, value) in record:
                    settled.add((len(lines) + place, label))
        keys += [unit_key(normalised(text)) for text in chunk.texts]
        lines += chunk.lines
        values.append(labels.values)
    given = np.concatenate(values)
    hard = replace(labels, values=given).hard().values
    content = OtherRows(file.source, np.array(keys), np.array(lines), hard)
    return AuditedRows(content, given, frozenset(settled))


def _beside(path: str | Path, file: LabelledFile) -> OtherRows:
    """Read a file of another split; labels that only one of the files has are unknown in it."""
    data = replace(portable(file.data), unknown_labels="ignore", partial_labels=True)
    other = open_labelled(path, data, space=file.space)
    return _read(other, {}).content


def _findings(
    file: LabelledFile, rows: AuditedRows, logits: FloatArray, same: SameTexts
) -> Findings:
    given = rows.content.values
    noise = fit_label_noise(logits, given)
    votes = np.zeros(logits.shape)
    votes[same.rows] = noise.vote(same.positive, same.negative)
    odds = noise.log_odds(logits, given)
    wrong = noise.probability_wrong(odds, given, votes)
    return Findings(file, rows, logits, odds, wrong, same)


def _report(findings: Findings, suspects: Sequence[Suspect]) -> AuditReport:
    rows, wrong, known = findings.rows, findings.wrong, findings.known
    given, per_label = rows.content.values, Counter(each.label for each in suspects)
    labels = {}
    for label, name in enumerate(findings.file.space.names):
        values, expected = given[:, label], wrong[:, label]
        extra, missing = confident_joint(findings.logits[:, label], values)
        labels[name] = AuditedLabel(
            known=int(known[:, label].sum()),
            positives=int((values == 1).sum()),
            expected_extra=float(expected[values == 1].sum()),
            expected_missing=float(expected[values == 0].sum()),
            confident_extra=extra,
            confident_missing=missing,
            listed=per_label[name],
        )
    reasons = Counter(part for each in suspects for part in each.reason.split(" + "))
    return AuditReport(
        source=findings.file.source,
        rows=len(findings.file),
        rows_unlabelled=int((~known.any(axis=1)).sum()),
        cells_known=int(known.sum()),
        expected_wrong=float(wrong[known].sum()),
        listed=len(suspects),
        listed_reasons=dict(reasons),
        same_words=len(findings.same.rows),
        conflicting=int(findings.conflicts.any(axis=1).sum()),
        in_other_files=findings.same.rows_in_other_files(),
        settled=len(rows.settled),
        labels=labels,
        table="",
        scores="",
        notes=(),
    )
