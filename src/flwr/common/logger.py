"""The legacy path of the logger."""

from flwr._elsewhere import names_of
from flwr.compat.output import (
    mirror_output_to_queue,
    print_json_error,
    redirect_output,
    restore_output,
    set_logger_propagation,
)
from flwr.log import (
    FLOWER_LOGGER,
    LOGGER_NAME,
    ConsoleHandler,
    configure,
    console_handler,
    log,
    logger,
    update_console_handler,
    warn_deprecated_feature,
    warn_deprecated_feature_with_example,
    warn_preview_feature,
    warn_unsupported_feature,
)

__getattr__ = names_of(__name__)

__all__ = [
    "FLOWER_LOGGER",
    "LOGGER_NAME",
    "ConsoleHandler",
    "configure",
    "console_handler",
    "log",
    "logger",
    "mirror_output_to_queue",
    "print_json_error",
    "redirect_output",
    "restore_output",
    "set_logger_propagation",
    "update_console_handler",
    "warn_deprecated_feature",
    "warn_deprecated_feature_with_example",
    "warn_preview_feature",
    "warn_unsupported_feature",
]
