"""Write the examples from the templates of ``flwr new``: each has its one home there."""

from pathlib import Path

from flwr.cli.new import FRAMEWORKS, write_app

HERE = Path(__file__).resolve().parent
PUBLISHER = "wildflower"


def main(folder: Path = HERE) -> None:
    """Write all examples into a folder."""
    for framework in FRAMEWORKS:
        write_app(folder / f"quickstart-{framework}", framework, PUBLISHER)


if __name__ == "__main__":
    main()
