"""The legacy path of floats as integers."""

from flwr.compat.secure_aggregation.quantization import dequantize, quantize

__all__ = ["dequantize", "quantize"]
