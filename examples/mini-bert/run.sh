#!/bin/sh
# Pretrain a small BERT and use it. Without CORPUS, on stories that are made first.
#
#   sh examples/mini-bert/run.sh [CORPUS --hours 0.33]
#
# CORPUS is plain text with empty lines between documents, or JSON lines.
# PYTHON names the interpreter that has multihot, OUTPUT the folder for results.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${OUTPUT:-runs/mini-bert}
python() { "${PYTHON:-python3}" "$@"; }
multihot() { python -m multihot "$@"; }

if [ $# -gt 0 ]; then
  multihot pretrain "$@" --output "$output/encoder"
  exit
fi
python "$here/make_corpus.py" "$output"
multihot pretrain "$output/stories.jsonl" --recipe "$here/recipe.toml" --output "$output/encoder" \
  --json > "$output/pretraining.json"
multihot fill-mask "$output/encoder" "The [MASK] kneaded beside the oven." --top 5
multihot next-sentence "$output/encoder" "Tom looked for the net and found only the rope." \
  "The sailor anchored beside the boat at night."

multihot train "$output/train.csv" --validation "$output/dev.csv" --encoder "$output/encoder" \
  --output "$output/model" epochs=30 batch_size=8 learning_rate=1e-3 head_learning_rate=1e-3
multihot evaluate "$output/model" "$output/test.csv" --json > "$output/result.json"
multihot predict "$output/model" "The shepherd wanted a new goat."
python "$here/../check.py" "$here" "$output"
