#!/bin/sh
# transformers 5.23.0, tokenizers 0.23.3, Python 3.11.
#
# A folder with a complete tokenizer.json (cased, accents kept, no [CLS]) and a tokenizer_config.json that
# names only "tokenizer_class": "BertTokenizer" loads without a word, and tokenises otherwise than the file
# says: transformers takes the vocabulary from tokenizer.json and makes normaliser and template itself, with
# BertTokenizer's defaults (lower case, accents stripped, [CLS] and [SEP]). tokenizers, and every runtime
# built on it, follows the file. So one folder gives a model two different inputs, depending on who loads it.
#
# Whoever serves a checkpoint with tokenizers has to compare its ids with those of the library that trained it.
#
# Seen: "file: Hello café [SEP]" and "transformers: [CLS] hello cafe [SEP]".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
FOLDER="$scratch/model" "$scratch/venv/bin/python" - <<'PYTHON'
import json
import os
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Hello", "café", "hello", "cafe"]
made = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
made.normalizer = normalizers.NFC()
made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
made.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])

folder = Path(os.environ["FOLDER"])
folder.mkdir()
made.save(str(folder / "tokenizer.json"))
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
(folder / "config.json").write_text(json.dumps({"model_type": "bert"}))

text = "Hello café"
of_file = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).tokens
loaded = AutoTokenizer.from_pretrained(folder)
of_transformers = loaded.convert_ids_to_tokens(loaded(text)["input_ids"])
print("file:", *of_file)
print("transformers:", *of_transformers)
assert of_file == ["Hello", "café", "[SEP]"]
assert of_transformers == ["[CLS]", "hello", "cafe", "[SEP]"]
PYTHON
