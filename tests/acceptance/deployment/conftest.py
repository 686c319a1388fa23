"""Deployments of real processes, ended by their ids after each test."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme
from deployed import NODE_READY, Certificates, Deployment, write_app, write_certificates


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Return a function that starts a hub and nodes, all connected.

    It takes ``nodes`` (how many, by default 2), ``tls``, ``database`` (whether to keep one) and
    ``hub_options``, ``node_options``.
    """
    with contextlib.ExitStack() as stack:

        def start(
            nodes: int = 2,
            *,
            tls: Certificates | None = None,
            database: bool = False,
            hub_options: Sequence[str] = (),
            node_options: Sequence[str] = (),
        ) -> Deployment:
            state = tmp_path / "state.db" if database else None
            deployment = Deployment(tmp_path, tls, state, hub_options, node_options)
            stack.callback(deployment.close)
            deployment.start_hub()
            for index in range(nodes):
                deployment.start_node(index, nodes, ready=False)
            for node in deployment.nodes:
                node.wait_for(NODE_READY)
            return deployment

        yield start


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Return a hub with two nodes for all tests of a module that leave it as it is."""
    deployment = Deployment(tmp_path_factory.mktemp("shared"))
    try:
        deployment.start_hub()
        for index in range(2):
            deployment.start_node(index, 2)
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a tiny app; see :func:`deployed.write_app`."""
    return lambda name="tiny-app", **parts: write_app(tmp_path / name, **parts)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return a certificate authority."""
    return trustme.CA()


@pytest.fixture
def certificates(authority: trustme.CA, tmp_path: Path) -> Certificates:
    """Return the files of a server at 127.0.0.1."""
    return write_certificates(tmp_path / "tls", authority, "127.0.0.1")
