"""Keys and encryption, which are not there yet."""

from flwr.compat.secure_aggregation.crypto import (
    bytes_to_private_key,
    bytes_to_public_key,
    compute_hmac,
    decrypt,
    encrypt,
    generate_key_pairs,
    generate_shared_key,
    private_key_to_bytes,
    public_key_to_bytes,
    sign_message,
    verify_hmac,
    verify_signature,
)

__all__ = [
    "bytes_to_private_key",
    "bytes_to_public_key",
    "compute_hmac",
    "decrypt",
    "encrypt",
    "generate_key_pairs",
    "generate_shared_key",
    "private_key_to_bytes",
    "public_key_to_bytes",
    "sign_message",
    "verify_hmac",
    "verify_signature",
]
