"""The legacy path of `make_ffn`."""

from flwr.clientapp.mod import make_ffn

__all__ = ["make_ffn"]
