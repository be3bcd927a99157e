#!/bin/sh
# accelerate 1.15.0.
#
# `accelerate launch --cpu --num_processes 2 script.py` starts one process, and says nothing of it, although its
# help says of --num_processes "the total number of processes to be launched in parallel". WORLD_SIZE is not
# set, and Accelerator().num_processes is 1: a script that shares out its rows by these numbers trains on
# all of them once, in one process. torchrun with the same script starts two.
#
# Seen: "accelerate launch: 1 process (of 1)" and "torchrun: 2 processes (of 2)".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 accelerate==1.15.0
cat > "$scratch/script.py" <<'PYTHON'
import os
import sys

from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
with open(sys.argv[1], "a", encoding="ascii") as handle:
    handle.write(f"{accelerator.num_processes} {os.environ.get('WORLD_SIZE')}\n")
PYTHON
export MASTER_ADDR=127.0.0.1 HF_HOME="$scratch/home"
"$scratch/venv/bin/accelerate" launch --cpu --num_processes 2 "$scratch/script.py" "$scratch/launched"
"$scratch/venv/bin/torchrun" --master-addr 127.0.0.1 --nproc-per-node 2 "$scratch/script.py" "$scratch/run"
launched=$(cat "$scratch/launched")
run=$(cat "$scratch/run")
echo "accelerate launch: $(wc -l < "$scratch/launched") process (of ${launched%% *})"
echo "torchrun: $(wc -l < "$scratch/run") processes (of ${run%% *})"
[ "$launched" = "1 None" ]
[ "$run" = "2 2
2 2" ]
