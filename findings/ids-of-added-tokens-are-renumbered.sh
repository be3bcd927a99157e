#!/bin/sh
# tokenizers 0.23.3.
#
# tokenizer.json states an id for every entry of added_tokens, and an embedding matrix is made for those
# ids. The id of an entry that is not in the model's vocabulary is not used when the file is loaded: such
# tokens are numbered one after the other behind the vocabulary, and a gap closes without a word. Saving the
# tokenizer writes the new number, so the file that comes out differs from the one that went in, and text
# encoded with it points to other rows of the matrix than its author's.
#
# Compare the ids of added_tokens in the file with get_added_tokens_decoder() after loading.
#
# Seen: "in the file: 7, loaded: 3, saved again: 3".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3
cd "$scratch"
"$scratch/venv/bin/python" - <<'PYTHON'
import json

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel

tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "good": 1, "bad": 2}, unk_token="[UNK]"))
tokenizer.add_special_tokens([AddedToken("<user>", special=True)])
document = json.loads(tokenizer.to_str())
(entry,) = (each for each in document["added_tokens"] if each["content"] == "<user>")
entry["id"] = 7
loaded = Tokenizer.from_str(json.dumps(document))
again = json.loads(loaded.to_str())["added_tokens"]
saved = next(each["id"] for each in again if each["content"] == "<user>")
found = loaded.token_to_id("<user>")
print(f"in the file: 7, loaded: {found}, saved again: {saved}")
assert (found, saved) == (3, 3)
assert loaded.encode("<user>").ids == [3]
PYTHON
