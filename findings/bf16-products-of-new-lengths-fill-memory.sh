#!/bin/sh
# torch 2.13.0 (CPU build, oneDNN 3.12.0), Linux x86-64 with AVX-512.
#
# A linear layer in bfloat16 keeps something for every new number of rows: 300 lengths leave about 190 MB in the
# process, although nothing is referenced any more, and a training loop without padding, whose lengths never end,
# grows for hours. Two caches hold it, one above the other: torch's own layer (LRU_CACHE_CAPACITY) and oneDNN
# (ONEDNN_PRIMITIVE_CACHE_CAPACITY), 1024 entries each. Making either of them small frees next to nothing, because
# the other still holds the same objects; both together leave less than a tenth. The first pass over new lengths
# is not slower without them.
#
# Seen: "MB left by 300 lengths: 191 as it is; 168 and 130 with one cache small; 8 with both".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$scratch/grow.py" <<'PYTHON'
import re

import torch


def anonymous_mb():
    with open("/proc/self/status") as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read())[1]) // 1024


torch.set_num_threads(1)
layer = torch.nn.Linear(256, 256, dtype=torch.bfloat16)
with torch.no_grad():
    for _ in range(20):
        layer(torch.randn(400, 256, dtype=torch.bfloat16))
    before = anonymous_mb()
    for rows in range(100, 400):
        layer(torch.randn(rows, 256, dtype=torch.bfloat16))
print(anonymous_mb() - before)
PYTHON
if ! grep -q avx512bw /proc/cpuinfo; then
  echo "This processor lacks AVX-512: torch does not ask oneDNN for these products there." >&2
  exit 1
fi
unset LRU_CACHE_CAPACITY ONEDNN_PRIMITIVE_CACHE_CAPACITY
grow() { env "$@" "$scratch/venv/bin/python" "$scratch/grow.py"; }
both=$(grow LRU_CACHE_CAPACITY=1 ONEDNN_PRIMITIVE_CACHE_CAPACITY=16)
upper=$(grow LRU_CACHE_CAPACITY=1)
lower=$(grow ONEDNN_PRIMITIVE_CACHE_CAPACITY=16)
neither=$(grow NOTHING=1)
echo "MB left by 300 lengths: $neither as it is; $upper and $lower with one cache small; $both with both"
test "$neither" -gt 100
test "$upper" -gt 60
test "$lower" -gt 60
test "$((both * 4))" -lt "$neither"
