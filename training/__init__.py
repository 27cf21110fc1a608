"""Makes the model: data -> training -> checkpoint -> ONNX -> model store."""
