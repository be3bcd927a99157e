#!/bin/sh
# Export a model to int8, serve it over HTTP, ask it, and measure it.
#
#   sh examples/serve/run.sh [MODEL]
#
# Without MODEL, one is trained on the data set in the package. PYTHON names the interpreter that has
# multihot, OUTPUT the folder for results, PORT a free port, SECONDS_OF_BENCH how long to measure.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${OUTPUT:-runs/serve}
port=${PORT:-8000}
python() { "${PYTHON:-python3}" "$@"; }
multihot() { python -m multihot "$@"; }

data=$(python -c "from multihot.demo import demo_data; print(demo_data()['train'].parent)")
model=${1:-$output/model}
if [ $# -eq 0 ]; then
  multihot train "$data/train.jsonl" --validation "$data/validation.jsonl" \
    --recipe "$here/recipe.toml" --output "$model"
fi
multihot export "$model" "$data/validation.jsonl" --to onnx-int8 --output "$output/int8"
multihot predict "$output/int8" --input "$data/test.jsonl" --json > "$output/predictions.jsonl"

# In a terminal of its own: multihot serve runs/serve/int8
"${PYTHON:-python3}" -m multihot serve "$output/int8" --port "$port" &
server=$!
trap 'kill $server 2> /dev/null || true' EXIT
tries=0
until python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/readyz')" \
  2> /dev/null; do
  tries=$((tries + 1))
  if [ $tries -gt 60 ]; then echo "The server did not start." >&2; exit 1; fi
  sleep 0.5
done
python "$here/load.py" "http://127.0.0.1:$port" "$data/test.jsonl" \
  --expected "$output/predictions.jsonl" > "$output/load.json"
kill $server
wait $server || true

multihot bench "$output/int8" "$data/test.jsonl" --seconds "${SECONDS_OF_BENCH:-20}"
[ $# -gt 0 ] || python "$here/../check.py" "$here" "$output"
