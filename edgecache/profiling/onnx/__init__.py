"""The ONNX backend: ten scaled-down networks built from code, run by ONNX Runtime on the CPU."""
