"""The ``flwr`` command's entry point."""

import gc
import sys
from typing import NoReturn

from flwr.cli.streams import usable_streams


def wants_json(arguments: list[str]) -> bool:
    """Return whether arguments that could not be parsed hold ``--format json``."""
    text = " ".join(arguments).lower()
    return "--format json" in text or "--format=json" in text


def usage_error(end: SystemExit) -> str:
    """Return what the CLI library found wrong with the arguments, if that ended the command."""
    tell = getattr(end.__context__, "format_message", None)
    return str(tell()) if tell is not None else ""


def interrupted(end: SystemExit) -> KeyboardInterrupt | None:
    """Return the interrupt that the CLI library made this exit of, if it did."""
    cause = end.__context__.__cause__ if end.__context__ is not None else None
    return cause if isinstance(cause, KeyboardInterrupt) else None


def main() -> None:
    """Run the command line and exit with its code."""
    with usable_streams():
        if sys.argv[1:] in (["-V"], ["--version"]):
            # Answered before the CLI library is loaded: this is the command that tools call most.
            from flwr._version import __version__

            sys.stdout.write(f"Flower version: {__version__}\n")
            return
        from flwr.cli.interrupts import interrupts

        interrupts.install()
        gc.disable()  # while modules load, a tenth of a short command; what may last enables it
        try:
            from flwr.cli.commands import app

            app()
        except SystemExit as end:
            if interrupt := interrupted(end):
                _end_interrupted(interrupt)
            if wants_json(sys.argv[1:]) and (wrong := usage_error(end)):
                from flwr.cli.output import print_failure

                print_failure("usage", wrong)
            raise
        except KeyboardInterrupt as interrupt:
            _end_interrupted(interrupt)
        finally:
            interrupts.end()


def _end_interrupted(interrupt: KeyboardInterrupt) -> NoReturn:
    """End a command that was interrupted before, or after, it did anything."""
    from flwr.cli.interrupts import exit_status

    sys.stderr.write("\nInterrupted.\n")
    if wants_json(sys.argv[1:]):
        from flwr.cli.output import print_failure

        print_failure("interrupted", "Interrupted.")
    raise SystemExit(exit_status(interrupt)) from None
