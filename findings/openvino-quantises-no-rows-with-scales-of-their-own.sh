#!/bin/sh
# openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11.
#
# QuantizeLinear with one scale for each row (axis 0), where the scale is computed at run time, is valid
# ONNX since opset 13: it is how activations are quantised so that a row does not depend on the others of
# its batch. onnx's checker accepts the model and ONNX Runtime runs it. OpenVINO converts it, too, or seems
# to: compile_model refuses it because shapes are "inconsistent", as if the scale lay along the last axis.
# The same graph with one scale for the whole tensor runs in both.
#
# Whoever exports int8 with scales per row cannot hand the file to OpenVINO.
#
# Seen: "per tensor: onnxruntime runs, openvino runs" and "per row: onnxruntime runs, openvino refuses".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$scratch/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import openvino

ONE_SCALE = """
<ir_version: 10, opset_import: ["" : 21]>
quantise (float[rows, 4] x) => (int8[rows, 4] q) {
  sizes = Abs(x)
  largest = ReduceMax<keepdims: int = 0>(sizes)
  most = Constant<value_float: float = 127.0>()
  scale = Div(largest, most)
  zero = Constant<value = int8 {0}>()
  q = QuantizeLinear(x, scale, zero)
}
"""
ROW_SCALES = """
<ir_version: 10, opset_import: ["" : 21]>
quantise (float[rows, 4] x) => (int8[rows, 4] q) {
  sizes = Abs(x)
  last = Constant<value_ints: ints = [1]>()
  largest = ReduceMax<keepdims: int = 0>(sizes, last)
  most = Constant<value_float: float = 127.0>()
  scale = Div(largest, most)
  q = QuantizeLinear<axis: int = 0, output_dtype: int = 3>(x, scale)
}
"""
rows = np.array([[1, 2, 3, 4], [10, 20, 30, 40], [1, 1, 1, 1]], np.float32)


def outcome(text: str) -> tuple[str, str]:
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": rows})
    try:
        core = openvino.Core()
        core.compile_model(core.read_model(content, b""), "CPU")(rows)
    except RuntimeError as error:
        assert "inconsistent" in str(error), error
        return "runs", "refuses"
    return "runs", "runs"


found = {"per tensor": outcome(ONE_SCALE), "per row": outcome(ROW_SCALES)}
for name, (runtime, other) in found.items():
    print(f"{name}: onnxruntime {runtime}, openvino {other}")
assert found == {"per tensor": ("runs", "runs"), "per row": ("runs", "refuses")}
PYTHON
