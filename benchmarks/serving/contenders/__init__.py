"""The servers that the service is compared with: floors that do nothing, and peers that do the same by other means.

Each reads with the service's own code, decode, find_glyph and the same ONNX file; only the serving differs.
"""
