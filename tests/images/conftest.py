"""What can run containers here, images with an app's libraries, and a federation for one test."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers import Engine
from federation import Federation


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.find()


@pytest.fixture(scope="session")
def digits_image(engine: Engine) -> Iterator[Callable[[str], str]]:
    """Yield a function that makes an image with the libraries of the digits app, once."""
    made: dict[str, str] = {}

    def make(image: str) -> str:
        if image not in made:
            made[image] = engine.build_app_image(image)
        return made[image]

    yield make
    if made:
        engine("rmi", "--force", *made.values())


@pytest.fixture
def federation(engine: Engine, digits_image: Callable[[str], str]) -> Iterator[Federation]:
    with tempfile.TemporaryDirectory() as folder:  # reachable by all users, unlike tmp_path
        Path(folder).chmod(0o755)
        made = Federation(engine, Path(folder), digits_image)
        try:
            yield made
        finally:
            made.close()
