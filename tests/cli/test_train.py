from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from emotions import QUICK, write_jsonl
from multihot.cli.main import main
from multihot.inference.artifact import load_artifact

BRIEF = [f"{name}={value}" for name, value in {**QUICK, "epochs": 1}.items()]


@pytest.fixture
def train_file(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "train.jsonl")


def recipe_of(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "run" / "recipe.toml").read_text("utf-8"))


def test_a_model_is_trained_and_the_next_commands_are_shown(
    train_file: Path, tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m"
    arguments = ["--encoder", str(tiny_encoder), "--output", str(output)]

    assert main(["train", str(train_file), *arguments, *BRIEF]) == 0

    out, err = capfd.readouterr()
    assert out == ""
    assert "'text'" in err
    assert "5 of 48 labelled rows" in err
    assert "Epoch 1 of 1" in err
    assert "Validation metrics (these rows selected the epoch and fitted the thresholds):" in err
    assert f"multihot evaluate {output} TEST_FILE" in err
    assert load_artifact(output).pooling == "mean"
    assert not (output / "run" / "checkpoints").exists()


def test_options_may_stand_anywhere_behind_the_file(
    train_file: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    first, *others = BRIEF
    output = tmp_path / "m"
    arguments = [first, "--output", str(output), *others, "--encoder", str(tiny_encoder), "seed=3"]

    assert main(["train", str(train_file), *arguments]) == 0
    assert recipe_of(output)["seed"] == 3


def test_key_value_beats_a_flag_and_a_flag_the_recipe(
    train_file: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'goal = "macro_f1"\nseed = 5\ndevice = "cuda:7"\nweight_decay = 0.5\n'
        '[data]\ntext_column = "nowhere"\nlabel_column = "labels"\n',
        "utf-8",
    )
    arguments = ["--recipe", str(recipe), "--encoder", str(tiny_encoder), "--device", "cuda:8"]
    arguments += ["--goal", "jaccard", "--output", str(tmp_path / "m")]

    code = main(["train", str(train_file), *arguments, *BRIEF, "seed=6", "data.text_column=text"])

    assert code == 0
    found = recipe_of(tmp_path / "m")
    assert (found["goal"], found["seed"], found["device"]) == ("jaccard", 6, "cpu")
    assert found["weight_decay"] == 0.5
    assert found["data"]["text_column"] == "text"
    assert found["data"]["label_column"] == "labels"
    assert found["checkpoint_steps"] == 500


def test_a_validation_file_is_read_as_the_training_file_was(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    train = tmp_path / "train.csv"
    train.write_text("Tweet,love,joy\nhappy,0,1\nlove you,1,0\nhappy love,1,1\n", "utf-8")
    dev = tmp_path / "dev.csv"
    dev.write_text("joy,Tweet,love\n1,happy,0\n0,love,1\n", "utf-8")
    arguments = ["--validation", str(dev), "--encoder", str(tiny_encoder)]

    code = main(["train", str(train), *arguments, "--output", str(tmp_path / "m"), *BRIEF])

    assert code == 0
    decision = load_artifact(tmp_path / "m").decision
    assert decision.space.names == ("love", "joy")
    assert decision.fitted_on is not None
    assert (decision.fitted_on.source, decision.fitted_on.rows) == ("dev.csv", 2)


def test_the_output_is_named_after_the_file_when_not_given(
    train_file: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["train", str(train_file), "--encoder", str(tiny_encoder), *BRIEF]) == 0
    assert load_artifact(tmp_path / "runs" / "train").max_length == 64


def test_a_folder_with_anything_in_it_is_not_written_to(
    train_file: Path, tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("mine", "utf-8")
    arguments = ["train", str(train_file), "--encoder", str(tiny_encoder)]
    arguments += ["--output", str(tmp_path / "m"), *BRIEF]

    codes = [main(arguments), main([*arguments, "--resume"])]

    assert codes == [2, 2]
    assert capfd.readouterr().err.count(f"{tmp_path / 'm'}") == 2
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["mine.txt"]


def test_a_finished_run_is_not_resumed_and_that_is_no_error(
    train_file: Path, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    before = (model / "thresholds.json").read_bytes()
    left = model / "run" / "checkpoints" / "step-000012"
    left.mkdir(parents=True)  # as by a kill between the last file and the cleaning

    assert main(["train", str(train_file), "--output", str(model), "--resume"]) == 0
    assert "already finished" in capfd.readouterr().err
    assert (model / "thresholds.json").read_bytes() == before
    assert not left.parent.exists()


def test_a_finished_run_refuses_options_that_it_was_not_trained_with(
    train_file: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(train_file), "--output", str(tiny_model), "--resume"]

    assert main([*command, "epochs=77", "data.label_case=lower", "threads=1"]) == 2
    error = capfd.readouterr().err
    assert "data.label_case='keep' (now 'lower')" in error
    assert "(now 77)" in error
    assert "threads" not in error


def test_a_model_is_fine_tuned_further(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "new.jsonl"
    rows.write_text('{"text": "so happy", "labels": ["joy"]}\n' * 4, "utf-8")
    arguments = ["--from", str(tiny_model), "--output", str(tmp_path / "m"), *BRIEF]

    assert main(["train", str(rows), *arguments]) == 0

    assert load_artifact(tmp_path / "m").decision.space.names == ("fear", "joy", "love")
    card = (tmp_path / "m" / "README.md").read_text("utf-8")
    assert f"`{tiny_model.name}`" in card
    capfd.readouterr()
    rows.write_text('{"text": "so angry", "labels": ["anger"]}\n', "utf-8")
    assert main(["train", str(rows), *arguments, "--output", str(tmp_path / "n")]) == 2
    assert "'anger'" in capfd.readouterr().err


def test_a_model_that_is_fine_tuned_further_keeps_its_goal_thresholds_and_columns(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text(
        "message,fear,joy,love\n" + "so happy,0,1,\nno,0,0,0\n" * 3, "utf-8"
    )
    first, second = tmp_path / "first", tmp_path / "second"
    rows, start = str(tmp_path / "rows.csv"), ["--from", str(tiny_model)]
    options = ["--goal", "jaccard", "thresholds=0.4", "data.text_column=message"]
    columns = ["data.label_column=none", "data.label_columns=fear,joy,love"]
    assert main(["train", rows, *start, *options, *columns, *BRIEF, "--output", str(first)]) == 0

    assert main(["train", rows, "--from", str(first), *BRIEF, "--output", str(second)]) == 0

    assert "ignored: pooling." in capfd.readouterr().err
    artifact = load_artifact(second)
    assert artifact.decision.goal == "jaccard"
    assert artifact.decision.kind == "fixed"
    assert set(artifact.decision.thresholds) == {0.4}
    assert artifact.data.text_column == "message"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["epoch=3"], "'epochs'"),
        (["epochs=three"], "'epochs' is 'three'"),
        (["epochs"], "key=value"),
        (["--goal", "f1"], "'goal' is 'f1'"),
        (["--recipe", "no.toml"], "no.toml: "),
        (["thresholds=2"], "'thresholds' is 2.0"),
        (["data.text_colum=a"], "'data.text_column'"),
        (["data.text_column=a"], "data.text_column"),
        (["data.format=xml"], "data.format=xml"),
        (["--validation", "no.csv"], "no.csv: "),
        (["--from", "no"], "no: "),
        (["--from", "no", "--encoder", "e"], "--encoder"),
        (["--encoder", "no/such"], "no/such"),
        (["max_length=65"], "max_length=65"),
        (["batch_tokens=63"], "batch_tokens=63"),
        (["batch_tokens=640", "batch_size=4"], "batch_tokens=640"),
        (["precision=fp8"], "'precision' is 'fp8'"),
        (["pooling=max"], "'pooling' is 'max'"),
        (["--device", "gpu"], "device='gpu'"),
        (["trackers=paper"], "'paper'"),
        (["data.label_names=@labels"], "@labels"),
    ],
)
def test_an_invalid_command_is_refused_by_name_and_leaves_nothing_behind(
    train_file: Path,
    tiny_encoder: Path,
    arguments: list[str],
    named: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if "--encoder" not in arguments and "--from" not in arguments:
        arguments = ["--encoder", str(tiny_encoder), *arguments]
    output = train_file.with_name("m")

    code = main(["train", str(train_file), "--output", str(output), *arguments])

    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    assert named in err
    assert err.splitlines()[-1].startswith("multihot train: ")
    assert "Traceback" not in err
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", ": "),
        ("text,joy\n", ": "),
        ("text,joy\na,1\nb\n", ":3: "),
        ("text,joy\na,1\nb,maybe\n", ":3, column 'joy': "),
        ("a,b\nx,1\n", ": "),
        ("text\nx\n", ": "),
        ("text,joy\na,\nb,\n", ": "),
    ],
)
def test_an_invalid_file_is_refused_with_path_and_position(
    tiny_encoder: Path,
    tmp_path: Path,
    content: str,
    named: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "train.csv"
    path.write_text(content, "utf-8")

    code = main(["train", str(path), "--encoder", str(tiny_encoder), "--output", str(path) + "-m"])

    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    assert f"train.csv{named}" in err.splitlines()[-1]


@pytest.mark.slow
def test_an_interrupted_run_resumes_only_with_the_same_options_and_data(
    train_file: Path, tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m"
    command = ["train", str(train_file), "--encoder", str(tiny_encoder), "--output", str(output)]
    assert main([*command, *BRIEF]) == 0
    (output / "thresholds.json").unlink()  # as if it had been stopped before the end

    assert main([*command, *BRIEF, "seed=9", "--resume"]) == 2
    assert "seed=2" in capfd.readouterr().err
    assert main([*command, *BRIEF, "--resume"]) == 0
    assert load_artifact(output)
    lines = (output / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1] * len(lines)


@pytest.mark.slow
def test_two_files_with_different_labels_train_as_one(
    tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table, lines = tmp_path / "a.csv", tmp_path / "b.jsonl"
    signs = {"joy": "happy today", "love": "love you"}
    starts = ("i am", "you are", "she is", "they are", "we are", "he is")
    table.write_text(
        "text,joy,w\n"
        + "".join(
            f"{start} {sign} .,{int(name == 'joy')},1\n"
            for start in starts
            for name, sign in {**signs, "": "sad"}.items()
        ),
        "utf-8",
    )
    lines.write_text(
        "".join(
            json.dumps({"tweet": f"{start} {sign} !", "labels": names, "w": 0.5}) + "\n"
            for start in starts
            for names, sign in ((["fear"], "so afraid"), (["love"], "in love"), ([], "sad"))
        ),
        "utf-8",
    )
    output = tmp_path / "m"
    options = [f"{name}={value}" for name, value in {**QUICK, "epochs": 15}.items()]
    arguments = ["--validation", str(table), "--encoder", str(tiny_encoder)]
    arguments += ["--output", str(output), "data.weight_column=w", *options]

    code = main(["train", str(table), str(lines), *arguments])

    err = capfd.readouterr().err
    assert code == 0
    assert f"{lines}" in err
    texts = ["he is happy today .", "he is so afraid !", "he is in love !"]
    main(["predict", str(output), *texts, "--json"])
    scores = [json.loads(line)["scores"] for line in capfd.readouterr().out.splitlines()]
    names = ["joy", "fear", "love"]
    assert all(list(row) == names for row in scores)
    assert [max(range(3), key=lambda text: scores[text][name]) for name in names] == [0, 1, 2]


def test_soft_labels_and_sample_weights_are_trained_on(
    tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    rows = [("i am happy", 0.8, 1), ("so sad", 0.1, 1), ("hm", 0.5, 2), ("happy sad", "", 0)]
    path.write_text("text,joy,w\n" + "".join(f"{t},{j},{w}\n" for t, j, w in rows * 6), "utf-8")
    arguments = ["--encoder", str(tiny_encoder), "--output", str(tmp_path / "m"), *BRIEF]

    refused = main(["train", str(path), *arguments, "data.ignore_columns=w"])
    err = capfd.readouterr().err
    code = main(["train", str(path), *arguments, "data.soft_labels=true", "data.weight_column=w"])

    assert (refused, code) == (2, 0)
    assert "a.csv:2, column 'joy': " in err
    assert "data.soft_labels=true" in err
    data = load_artifact(tmp_path / "m").data
    assert (data.soft_labels, data.weight_column, data.ignore_columns) == (True, None, ("w",))
    assert main(["evaluate", str(tmp_path / "m"), str(path)]) == 0


@pytest.mark.slow
def test_few_rows_are_scored_out_of_fold(
    train_file: Path, tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--encoder", str(tiny_encoder), "--output", str(tmp_path / "m"), *BRIEF]
    command = ["train", str(train_file), "--folds", "3", *arguments]

    codes = [main([*command, "--validation", str(train_file)]), main(command)]

    err = capfd.readouterr().err
    assert codes == [2, 0]
    assert "Out-of-fold metrics: " in err
    fitted = load_artifact(tmp_path / "m").decision.fitted_on
    assert fitted is not None
    assert fitted.rows == 48
    assert recipe_of(tmp_path / "m")["folds"] == 3


@pytest.mark.parametrize(
    ("keep", "selected"), [("best", "the epochs and the seed"), ("average", "the epochs")]
)
@pytest.mark.slow
def test_a_run_is_repeated_with_several_seeds(
    train_file: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    keep: str,
    selected: str,
) -> None:
    arguments = ["--encoder", str(tiny_encoder), "--output", str(tmp_path / "m"), *BRIEF]

    code = main(["train", str(train_file), "--seeds", "2", f"seeds_keep={keep}", *arguments])

    err = capfd.readouterr().err
    assert code == 0
    assert f"(these rows selected {selected} and fitted the thresholds):" in err
    assert json.loads((tmp_path / "m" / "run" / "seeds.json").read_text("utf-8"))["kept"] == keep


@pytest.mark.slow
def test_a_student_is_distilled_from_teachers_and_unlabelled_texts(
    train_file: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", "off")
    large, small = tmp_path / "large", tmp_path / "small"
    common = ["--encoder", str(tiny_encoder), *BRIEF]
    texts = tmp_path / "texts.csv"
    texts.write_text("text,source\nso happy today,forum\nafraid again,forum\n", "utf-8")
    assert main(["train", str(train_file), "--output", str(large), *common]) == 0
    assert main(["train", str(train_file), "--output", str(tmp_path / "b"), *common]) == 0
    more = tmp_path / "more.csv"
    more.write_text("text,labels\nso sad today,joy\n", "utf-8")
    teachers = ["--teacher", str(large), "--teacher", str(tmp_path / "b")]
    asked = [*teachers, "--output", str(small), *common]
    files = ["--unlabelled", str(texts), str(more)]

    assert main(["train", str(train_file), *asked, *files, "teacher_weight=0.8"]) == 0

    err = capfd.readouterr().err
    assert f"{texts} + {more}" in err
    assert f"{large}" in err
    assert recipe_of(small)["teacher"] == [str(large), str(tmp_path / "b")]
    assert recipe_of(small)["teacher_weight"] == 0.8
    assert load_artifact(small).data == load_artifact(large).data


def test_unlabelled_texts_need_a_teacher(
    train_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(train_file), "--unlabelled", "texts.csv"]) == 2
    assert "--teacher" in capfd.readouterr().err


def test_the_validation_file_is_refused_as_unlabelled_texts(
    train_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dev = str(write_jsonl(tmp_path / "dev.jsonl"))

    asked = [
        "--validation",
        dev,
        "--teacher",
        "t",
        "--unlabelled",
        str(tmp_path / "." / "dev.jsonl"),
    ]
    assert main(["train", str(train_file), *asked]) == 2
    assert "--unlabelled" in capfd.readouterr().err
