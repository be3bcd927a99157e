#!/bin/sh
# Pretrain a small BERT and use it. Without CORPUS, on stories that are made first.
#
#   sh examples/mini-bert/run.sh [CORPUS]
#
# CORPUS is plain text with empty lines between documents, or JSON lines; give it hours=0.3 or more.
# PYTHON names the interpreter that has multihot, OUTPUT the folder for results.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${OUTPUT:-runs/mini-bert}
python() { "${PYTHON:-python3}" "$@"; }
multihot() { python -m multihot "$@"; }

if [ $# -gt 0 ]; then
  multihot pretrain "$@" --recipe "$here/recipe.toml" --output "$output/encoder"
  exit
fi
python "$here/make_corpus.py" "$output"
multihot pretrain "$output/stories.jsonl" --recipe "$here/recipe.toml" --output "$output/encoder" \
  --probe "$output/train.csv" "$output/test.csv" --json > "$output/result.json"
multihot fill-mask "$output/encoder" "The baker kneaded beside the [MASK]." --top 5
multihot next-sentence "$output/encoder" "Tom looked for the anvil and found only the file." \
  "The smith wanted a new hammer."
multihot train "$output/train.csv" --validation "$output/dev.csv" --encoder "$output/encoder" \
  --output "$output/model" epochs=10 batch_size=16
multihot predict "$output/model" "The ploughman asked for the cart."
python "$here/../check.py" "$here" "$output"
