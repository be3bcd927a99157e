#!/bin/sh
# From a spreadsheet to a classifier. Without FILE, the workbook of this example is made first.
#
#   sh examples/tickets/run.sh [FILE.xlsx|FILE.csv]
#
# PYTHON names the interpreter that has multihot, OUTPUT the folder for results.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${OUTPUT:-runs/tickets}
python() { "${PYTHON:-python3}" "$@"; }
multihot() { python -m multihot "$@"; }

if [ $# -gt 0 ]; then
  file=$1
else
  file=$output/tickets.xlsx
  python "$here/make_data.py" "$file"
fi
ending=${file##*.}

multihot inspect "$file"
multihot split "$file" --output "$output/parts" --parts train=0.6,dev=0.15,test=0.25
multihot train "$output/parts/train.$ending" --validation "$output/parts/dev.$ending" \
  --recipe "$here/recipe.toml" --output "$output/model"
multihot evaluate "$output/model" "$output/parts/test.$ending" --json > "$output/result.json"
multihot predict "$output/model" "The kettle leaks from the bottom. Please pay back the money."
[ $# -gt 0 ] || python "$here/../check.py" "$here" "$output"
