"""The legacy path of arithmetic on lists of arrays."""

from flwr.compat.secure_aggregation.arithmetic import (
    factor_combine,
    factor_extract,
    get_parameters_shape,
    get_zero_parameters,
    parameters_addition,
    parameters_divide,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)

__all__ = [
    "factor_combine",
    "factor_extract",
    "get_parameters_shape",
    "get_zero_parameters",
    "parameters_addition",
    "parameters_divide",
    "parameters_mod",
    "parameters_multiply",
    "parameters_subtraction",
]
