#!/bin/sh
# The ten-minute version of all benchmarks, on the data in the package; writes no rows but quality's.
#   sh benchmarks/quick.sh [PYTHON OF .venv] [PYTHON OF .venv-rivals]
set -eu
python=${1:-.venv/bin/python}
rivals=${2:-.venv-rivals/bin/python}
data=src/multihot/demo_data

echo "== fine-tuning, steps"
"$python" benchmarks/finetune.py steps --rivals "$rivals" --rounds 2 --slice-texts 64 \
  --best-batches 32 --no-row
echo "== prediction"
"$python" benchmarks/predict.py --rivals "$rivals" --rounds 3 --slice-texts 128 \
  --probe-texts 64 --pipeline-batches 8 32 --no-row
echo "== memory"
"$python" benchmarks/memory.py --rows 1000 20000 --no-row
echo "== start-up"
"$python" benchmarks/startup.py --no-row
echo "== quality"
set -- "$python" benchmarks/quality.py quality_demo.csv "$data/train.jsonl" \
  "$data/validation.jsonl" --test "$data/test.jsonl"
"$@" goal=micro_f1 --baseline
"$@" goal=micro_f1 learning_rate=2e-4 batch_size=16 epochs=8 --seeds 0
"$python" benchmarks/tables.py
