#!/bin/sh
# Emotions of short English messages: on the data set in the package, or on SemEval-2018 Task 1 E-c.
#
#   sh examples/emotions/run.sh [FOLDER with 2018-E-c-En-train.txt, -dev.txt and -test-gold.txt]
#
# PYTHON names the interpreter that has multihot, OUTPUT the folder for results.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${OUTPUT:-runs/emotions}
python() { "${PYTHON:-python3}" "$@"; }
multihot() { python -m multihot "$@"; }

if [ $# -gt 0 ]; then
  train=$1/2018-E-c-En-train.txt dev=$1/2018-E-c-En-dev.txt test=$1/2018-E-c-En-test-gold.txt
  set --  # the recipe as it is
else
  data=$(python -c "from multihot.demo import demo_data; print(demo_data()['train'].parent)")
  train=$data/train.jsonl dev=$data/validation.jsonl test=$data/test.jsonl
  set -- epochs=8 batch_size=16 learning_rate=2e-4  # an eighth of the rows wants more passes
fi

multihot inspect "$train" "$dev" "$test"
multihot train "$train" --validation "$dev" --recipe "$here/recipe.toml" --output "$output/model" "$@"
multihot evaluate "$output/model" "$test" --json > "$output/result.json"
multihot predict "$output/model" "I'm happy, the bert model is so good"
[ $# -eq 0 ] || python "$here/../check.py" "$here" "$output"
