#!/bin/sh
# Aspects of Chinese opinions: on the data of this example, or on the car reviews of CCF BDCI 2018.
#
#   sh examples/chinese-opinions/run.sh [train.csv of BDCI-2018]
#
# ENCODER names an encoder (a folder or a hub name); without it, a small one is pretrained first.
# PYTHON names the interpreter that has multihot, OUTPUT the folder for results.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${OUTPUT:-runs/chinese-opinions}
python() { "${PYTHON:-python3}" "$@"; }
multihot() { python -m multihot "$@"; }
mkdir -p "$output"
more=

python "$here/make_data.py" "$output/opinions.csv" --unlabelled "$output/unlabelled.txt"
if [ -z "${ENCODER:-}" ]; then
  multihot tokenizer "$output/unlabelled.txt" --output "$output/tokenizer"
  multihot pretrain "$output/unlabelled.txt" --recipe "$here/pretraining.toml" \
    --tokenizer "$output/tokenizer" --output "$output/encoder"
  ENCODER=$output/encoder more="learning_rate=1e-3 head_learning_rate=1e-3"  # it knows little yet
fi

is_ours=yes file=$output/opinions.csv
if [ $# -gt 0 ]; then
  is_ours=no file=$1 more="$more epochs=2"
  # One line for each subject of a text; ten thousand texts want fewer passes.
  set -- data.text_column=content data.label_column=subject data.group_by=content_id
fi
multihot inspect "$file" --encoder "$ENCODER" "$@"
multihot split "$file" --output "$output/parts" --parts train=0.7,dev=0.1,test=0.2 "$@"
multihot train "$output/parts/train.csv" --validation "$output/parts/dev.csv" \
  --encoder "$ENCODER" --recipe "$here/recipe.toml" --output "$output/model" $more "$@"
multihot evaluate "$output/model" "$output/parts/test.csv" --json > "$output/result.json"
multihot predict "$output/model" "味道不错，就是排队排了两个小时"
[ $is_ours = no ] || python "$here/../check.py" "$here" "$output"
