"""Secure aggregation's cryptography: its names, which say that they are not there yet."""

from collections.abc import Callable
from typing import Any, NoReturn

from flwr.compat.secure_aggregation.later import refuse


def _not_there(name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        refuse(name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Not there yet: raises NotImplementedError."
    return function


create_shares = _not_there("create_shares")
combine_shares = _not_there("combine_shares")
generate_key_pairs = _not_there("generate_key_pairs")
generate_shared_key = _not_there("generate_shared_key")
private_key_to_bytes = _not_there("private_key_to_bytes")
bytes_to_private_key = _not_there("bytes_to_private_key")
public_key_to_bytes = _not_there("public_key_to_bytes")
bytes_to_public_key = _not_there("bytes_to_public_key")
encrypt = _not_there("encrypt")
decrypt = _not_there("decrypt")
compute_hmac = _not_there("compute_hmac")
verify_hmac = _not_there("verify_hmac")
sign_message = _not_there("sign_message")
verify_signature = _not_there("verify_signature")
pseudo_rand_gen = _not_there("pseudo_rand_gen")
share_keys_plaintext_concat = _not_there("share_keys_plaintext_concat")
share_keys_plaintext_separate = _not_there("share_keys_plaintext_separate")
