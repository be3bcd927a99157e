"""`multihot predict --shard`, `--resume` and `--join`: outputs that are written block by block."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.cli.console import NUM_SAMPLED, TextCounter, say, say_if_unknown, say_note
from multihot.cli.prediction_lines import text_writer
from multihot.cli.prediction_tables import (
    Cell,
    Put,
    TableStyle,
    Write,
    delimited_rows,
    prediction_writer,
    workbook_rows,
)
from multihot.core.block_output import (
    RECORD_ENDING,
    BlockOutput,
    BlockRecord,
    check_beginning,
    read_block_record,
    record_path,
    refuse_difference,
)
from multihot.core.shards import Shard, parse_shard, shard_path, shards_beside
from multihot.core.text_tables import counted
from multihot.core.windows import cut_sentence
from multihot.errors import DataError, OptionError

if TYPE_CHECKING:
    from multihot.core.options import DataOptions
    from multihot.data.text_stream import TextRow, TextStream
    from multihot.inference.artifact import Artifact
    from multihot.inference.prediction import Prediction

__all__ = ["check_blocks", "join", "label_in_blocks"]

Styled = Callable[["TextStream"], tuple["TextStream", TableStyle | None]]


def check_blocks(given: argparse.Namespace) -> None:
    """Raise `OptionError` for `--shard` and `--resume` that cannot be, before anything is read."""
    flags = {
        "--shard": given.shard is not None,
        "--resume": given.resume,
        "--engine": given.engine is not None,
    }
    flag = next(name for name, is_given in flags.items() if is_given)
    path = output_path(given)
    if given.input is None or path is None:
        raise OptionError(f"{flag} needs --input FILE and --output FILE.")
    if given.input == "-":
        raise OptionError(
            f"{flag} reads its input twice, and standard input comes once. Save it in a file and name that "
            "with --input FILE."
        )
    check_beginning(path, "--output", resume=given.resume, force=given.force)


def output_path(given: argparse.Namespace) -> Path | None:
    """Return the file that a command writes; `None` for standard output."""
    if given.output is None:
        return None
    output = Path(given.output)
    return output if given.shard is None else shard_path(output, parse_shard(given.shard))


def label_in_blocks(
    given: argparse.Namespace,
    artifact: Artifact,
    open_stream: Callable[[], TextStream],
    styled: Styled,
) -> int:
    """Label the rows of a shard, or all of them, behind those that are done; return the exit code."""
    from multihot.data.text_stream import stream_facts
    from multihot.inference.predictor import WINDOW_ROWS

    state = _state(given.input)
    beginning = open_stream()
    num_rows, digest = stream_facts(beginning)
    for note in beginning.notes:
        say_note(note)
    stream, style = styled(open_stream())
    shard = None if given.shard is None else parse_shard(given.shard)
    rows = (shard or Shard(1, 1)).rows(num_rows, WINDOW_ROWS)
    made_of = _made_of(given, artifact, style, shard) | {"rows": num_rows, "input": digest}
    fresh = BlockRecord(made_of, rows.start, len(rows))
    path = output_path(given)
    assert path is not None
    if shard is not None and not given.force:
        _refuse_others(Path(given.output), shard, made_of)
    is_complete = given.resume and record_path(path).exists() and _is_complete(path)
    with contextlib.ExitStack() as stack:
        predicted = None
        if rows and not is_complete:
            predicted = _prediction(given, artifact, stream, stack)
        output = stack.enter_context(BlockOutput(path, fresh, resume=given.resume))
        if output.record.finished:
            say(f"{path} is complete; nothing was left to do.")
            return 0
        if output.record.done_rows:
            say(f"{output.record.done_rows} of {len(rows)} texts are done; going on after them.")
        write = _writer(given, output, stream.columns, style, artifact)
        _fill(given, output, write, predicted, stream.rows)
        if _state(given.input) != state:
            raise DataError("The file was changed while it was read.", path=given.input)
        is_book = path.suffix.lower() == ".xlsx"
        output.finish((lambda blocks: _write_workbook(blocks, path)) if is_book else None)
    _say_end(path, output.record, artifact, shard)
    return 0


def _is_complete(path: Path) -> bool:
    return read_block_record(record_path(path)).finished


Block = Iterator[tuple["TextRow", "Prediction"]]
Predicted = Callable[[Iterator["TextRow"], range], Iterator[Block]]
"""Labels rows, of which the second argument has the numbers."""


def _prediction(
    given: argparse.Namespace,
    artifact: Artifact,
    stream: TextStream,
    stack: contextlib.ExitStack,
) -> Predicted:
    """Return what labels rows; raise where the model cannot. An engine runs until `stack` is left."""
    if given.engine is not None:
        from multihot.core.ray_cluster import ray_cluster

        artifact.contents().verify()
        # Ray tells standard output that a worker died, which is for data.
        told = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.callback(_say_if_died, told)
        stack.enter_context(ray_cluster(given.actors))
        return lambda rows, numbers: _by_engine(given, artifact, stream.data, rows, numbers)
    from multihot.inference.predictor import WINDOW_ROWS, Predictor

    predictor = Predictor.from_artifact(
        artifact, device=given.device, precision=given.precision, backend=given.backend
    )

    def label(rows: Iterator[TextRow], numbers: range) -> Iterator[Block]:
        first_texts: list[str] = []
        while window := list(itertools.islice(rows, WINDOW_ROWS)):
            first_texts += [row.text for row in window][: NUM_SAMPLED - len(first_texts)]
            pairs = ((row.text, row) for row in window)
            yield predictor.stream(pairs, threshold=given.threshold)
        say_if_unknown(predictor, first_texts)

    return label


def _by_engine(
    given: argparse.Namespace,
    artifact: Artifact,
    data: DataOptions,
    rows: Iterator[TextRow],
    numbers: range,
) -> Iterator[Block]:
    """Label rows in several processes."""
    from multihot.data.text_stream import text_windows
    from multihot.inference.prediction import labelled
    from multihot.inference.predictor import WINDOW_ROWS
    from multihot.ray import RayOptions, window_logits

    options = RayOptions(
        given.actors,
        num_gpus=given.device == "cuda",
        device=given.device,
        precision=given.precision,
        backend=given.backend,
    )
    source = os.path.abspath(given.input) if os.path.exists(given.input) else given.input
    read = partial(text_windows, source, data, numbers, WINDOW_ROWS)
    for answer in window_logits(read, artifact, options):
        window = list(itertools.islice(rows, WINDOW_ROWS))
        predictions = labelled(
            artifact.decision, answer.logits, answer.truncated, threshold=given.threshold
        )
        if len(window) != len(answer.logits):
            raise DataError("The file was changed while it was read.", path=given.input)
        yield zip(window, predictions, strict=True)


def _say_if_died(told: io.StringIO) -> None:
    if "worker died" in told.getvalue():
        say("Workers died. The texts that they had were computed again.")


def _made_of(
    given: argparse.Namespace, artifact: Artifact, style: TableStyle | None, shard: Shard | None
) -> dict[str, Any]:
    """Return what shards have in common, beside the input."""
    from importlib.metadata import version

    from multihot.core.files import sha256_of
    from multihot.inference.artifact import DECISION_FILE

    # It has the SHA-256 of every other file of the folder.
    made_of = {
        "model": sha256_of(artifact.folder / DECISION_FILE),
        "multihot_version": version("multihot"),
        "shards": 1 if shard is None else shard.count,
        "--threshold": given.threshold,
        "--top": given.top,
        "--precision": given.precision,
        "--backend": given.backend,
    }
    if style is not None:
        made_of |= {
            "the delimiter": style.delimiter,
            "the decimal sign": style.decimal,
            "the encoding": style.encoding,
        }
    return made_of


def _refuse_others(output: Path, shard: Shard, made_of: dict[str, Any]) -> None:
    """Raise `OptionError` where a shard beside this one was made differently."""
    for other, place in shards_beside(output, RECORD_ENDING).items():
        if other != shard:
            path = shard_path(output, other)
            refuse_difference(path, read_block_record(place).made_of, made_of)


def _state(path: str) -> tuple[int, int] | None:
    """Return what changes when a file does; `None` where it is no file."""
    if not Path(path).is_file():
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _fill(
    given: argparse.Namespace,
    output: BlockOutput,
    write: Write,
    predicted: Predicted | None,
    all_rows: Iterator[TextRow],
) -> None:
    """Write every block that is missing."""
    record = output.record
    begin, end = record.first_row + record.done_rows, record.first_row + record.num_rows
    rows = itertools.islice(all_rows, begin, end)
    counter, num_written = TextCounter(record.num_rows - record.done_rows), 0
    blocks = predicted(rows, range(begin, end)) if predicted and begin < end else iter(())
    try:
        for block in blocks:
            num_rows = num_truncated = 0
            for row, prediction in block:
                write(row, prediction)
                num_rows, num_truncated = num_rows + 1, num_truncated + prediction.truncated
            output.commit(num_rows, num_truncated=num_truncated)
            num_written += num_rows
            counter(num_written)
        if num_written != end - begin:
            raise DataError("The file was changed while it was read.", path=given.input)
        if not output.record.sha256:
            output.commit(0)
    except KeyboardInterrupt as stop:
        done = output.record.done_rows
        stop.add_note(f"{done} of {record.num_rows} texts are kept, and --resume continues")
        raise
    finally:
        if isinstance(blocks, Generator):
            blocks.close()  # so that processes of an engine end now


def _writer(
    given: argparse.Namespace,
    output: BlockOutput,
    columns: tuple[str, ...],
    style: TableStyle | None,
    artifact: Artifact,
) -> Write:
    """Return what writes predictions into a block; a new output has its header then."""
    abstains = artifact.decision.empty_set_rule == "abstain"
    if style is None:
        return text_writer(output, as_json=True, is_printed=False, top=given.top, abstains=abstains)
    is_new = not output.record.sha256
    is_book = Path(given.output).suffix.lower() == ".xlsx"
    put = _spooled_rows(output) if is_book else delimited_rows(output, style)
    if is_new and not is_book and style.encoding == "utf-8-sig":
        output.write("\ufeff")
    names = artifact.decision.space.names
    write = prediction_writer(put, columns, names, style, abstains=abstains, has_header=is_new)
    if is_new:
        output.end_header()
    return write


def _spooled_rows(output: BlockOutput) -> Put:
    """Return what writes rows as JSON lines, from which a workbook is made at the end."""

    def put(cells: Sequence[Cell]) -> None:
        output.write(json.dumps(list(cells)) + "\n")

    return put


def _write_workbook(blocks: Path, path: Path) -> None:
    with workbook_rows(path) as put, blocks.open(encoding="utf-8") as lines:
        for line in lines:
            put(json.loads(line))


def _say_end(path: Path, record: BlockRecord, artifact: Artifact, shard: Shard | None) -> None:
    if record.num_truncated:
        count, rows = record.num_truncated, record.num_rows
        say(cut_sentence(count, rows, artifact.max_length, artifact.windows))
    where = "" if shard is None else f", shard {shard}"
    if shard is not None and record.num_rows:
        first, last = record.first_row + 1, record.first_row + record.num_rows
        where += f": rows {first} to {last} of {record.made_of['rows']}"
    say(f"{counted(record.num_rows, 'text')} labelled in {path}{where}.")


def join(given: argparse.Namespace) -> int:
    """Put the shards of an output together; return the exit code."""
    from multihot.cli.arguments import check_new
    from multihot.workflows.join_shards import join_shards

    output = Path(given.join)
    check_new(output, "--join", force=given.force)
    joined = join_shards(output)
    for note in joined.notes:
        say_note(note)
    say(
        f"{counted(joined.num_rows, 'row')} of {counted(joined.num_shards, 'shard')} are in {output}."
    )
    return 0
