"""Write the examples from the templates of ``flwr new``: each has its one home there."""

from pathlib import Path

from flwr.cli.frameworks import write_app

HERE = Path(__file__).resolve().parent
PUBLISHER = "wildflower"
FRAMEWORKS = ("NumPy", "sklearn", "PyTorch", "XGBoost", "pandas")  # those that tests run


def main(folder: Path = HERE) -> None:
    """Write all examples into a folder."""
    for framework in FRAMEWORKS:
        write_app(folder / f"quickstart-{framework.lower()}", framework, PUBLISHER)


if __name__ == "__main__":
    main()
