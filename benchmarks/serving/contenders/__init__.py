"""What is measured beside the service: floors that do nothing, and peers that do the same with other means.

Each reads with the service's own code, decode, find_glyph and the same ONNX file; only the serving differs.
"""
