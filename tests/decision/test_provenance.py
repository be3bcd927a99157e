"""Row hashes: what they depend on, and that a changed record is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace, row_hashes, text_hashes
from multihot.decision.provenance import FittedOn
from multihot.errors import ArtifactError

SPACE = LabelSpace(("joy", "anger"))
LABELS = LabelMatrix(SPACE, np.array([[1, 0], [0, 1], [np.nan, 0]], dtype=np.float32))
TEXTS = ["a text", 'with "quotes" and 表情 😀', ""]


def record(texts: list[str] = TEXTS, labels: LabelMatrix = LABELS) -> FittedOn:
    hashes = row_hashes(texts, labels)
    return FittedOn.of_hashes(hashes, source="dev.csv", goal_value=0.5, goal_value_at_half=None)


def test_a_hash_depends_on_the_text_and_on_each_label() -> None:
    hashes = row_hashes(["same"] * 3, LABELS)

    assert hashes.dtype == np.uint64
    assert len(set(hashes.tolist())) == 3
    assert set(hashes.tolist()).isdisjoint(row_hashes(TEXTS, LABELS).tolist())


def test_the_order_of_the_label_columns_does_not_matter() -> None:
    swapped = LabelMatrix(LabelSpace(("anger", "joy")), LABELS.values[:, ::-1])

    assert np.array_equal(row_hashes(TEXTS, LABELS), row_hashes(TEXTS, swapped))


def test_the_order_of_the_rows_does_not_matter_for_the_record() -> None:
    assert record() == record(TEXTS[::-1], LABELS.take([2, 1, 0]))


def test_a_lone_surrogate_in_a_text_can_be_hashed() -> None:
    assert len(row_hashes(["\ud83d"], LABELS.take([0]))) == 1


def test_the_hash_of_a_row_stays_the_same_for_ever() -> None:
    labels = LabelMatrix(LabelSpace(("b", "a")), np.array([[1, np.nan]], dtype=np.float32))

    # The first 8 bytes of the SHA-256 of '["t", ["b"], ["a"]]'.
    assert [f"{value:016x}" for value in row_hashes(["t"], labels).byteswap()] == [
        "30df0834a8690cbc"
    ]


def test_the_record_gives_its_hashes_back() -> None:
    assert np.array_equal(np.sort(row_hashes(TEXTS, LABELS)), record().hashes())
    assert FittedOn.from_json(record().to_json()) == record()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rows", 2, "does not fit 'fitted_on.rows'"),
        ("sha256", "0" * 64, "the file was changed after it was saved"),
        ("row_hashes", "###", "'fitted_on.row_hashes' is not valid base64"),
        ("row_hashes", "ü", "'fitted_on.row_hashes' is not valid base64"),
        ("source", None, "'fitted_on' is invalid. The key 'source' is None"),
        ("goal_value", "high", "The key 'goal_value' is 'high'"),
    ],
)
def test_a_changed_record_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        FittedOn.from_json({**record().to_json(), key: value})


def test_a_record_without_a_key_is_refused() -> None:
    content = record().to_json()
    del content["rows"]

    with pytest.raises(ArtifactError, match=r"'fitted_on' is invalid\. The key 'rows' is missing"):
        FittedOn.from_json(content)


def test_texts_are_stored_beside_rows_and_recognised_with_any_labels() -> None:
    fitted = FittedOn.of_hashes(
        row_hashes(TEXTS, LABELS),
        source="dev.csv",
        goal_value=None,
        goal_value_at_half=None,
        text_hashes=text_hashes(TEXTS),
    )

    again = FittedOn.from_json(fitted.to_json())

    assert again == fitted
    assert again.holds_texts(text_hashes(["a text", "another"])).tolist() == [True, False]
    assert record().holds_texts(text_hashes(TEXTS)) is None
    assert "text_hashes" not in record().to_json()


@pytest.mark.parametrize("stored", ["@", "AAAA", 5])
def test_damaged_text_hashes_are_refused_by_name(stored: object) -> None:
    with pytest.raises(ArtifactError, match="text_hashes"):
        FittedOn.from_json({**record().to_json(), "text_hashes": stored})
