#!/bin/sh
# accelerate 1.15.0.
#
# With Accelerator(gradient_accumulation_steps=4), backward() divides every loss by 4. At the end of a data
# loader accumulate() takes the step with the batches that are left, but their losses were divided by 4 all
# the same: of 5 equal batches, the second step has a quarter of the gradient of the first, as if its learning
# rate were a quarter. The guide's loop is used as it stands.
#
# Seen: "gradients of the steps: 1.0, 0.25".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 accelerate==1.15.0
HF_HOME="$scratch/home" "$scratch/venv/bin/python" - <<'PYTHON'
import torch
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=4, cpu=True)
model = torch.nn.Linear(1, 1, bias=False)
optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
loader = torch.utils.data.DataLoader(torch.ones(5, 1), batch_size=1)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
found = []
for batch in loader:
    with accelerator.accumulate(model):
        accelerator.backward(model(batch).mean())
        if accelerator.sync_gradients:
            found.append(model.weight.grad.item())
        optimizer.step()
        optimizer.zero_grad()
print("gradients of the steps:", ", ".join(map(str, found)))
assert found == [1.0, 0.25], found
PYTHON
