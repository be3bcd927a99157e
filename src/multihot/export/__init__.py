"""From a trained network to files that run elsewhere: ONNX, int8, OpenVINO, plain transformers."""
