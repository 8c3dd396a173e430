"""A model's life: export to ONNX, wrapping into the contract, measuring, calibrating and publishing."""
