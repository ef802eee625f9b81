"""SNAC's 24 kHz codec as two ONNX graphs with the interfaces that the model repository serves."""
