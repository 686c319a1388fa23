import pytest

from flwr.simulation import capacity
from flwr.simulation.capacity import ClientResources, plan, workers_that_fit


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "available_cpus", lambda: 8.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,GPU-abc,3")


@pytest.mark.parametrize(
    ("cpus", "gpus", "nodes", "workers", "threads"),
    [
        (1, 0, 100, 8, 1),
        (2, 0, 100, 4, 2),
        (0.5, 0, 100, 16, 1),
        (1, 0, 3, 3, 1),
        (3, 0, 100, 2, 3),
        (1, 1, 100, 4, 1),
        (1, 0.5, 100, 8, 1),
        (1, 2, 100, 2, 1),
    ],
)
def test_workers_from_resources(
    cpus: float, gpus: float, nodes: int, workers: int, threads: int
) -> None:
    got = plan(ClientResources(cpus, gpus), nodes)
    assert (got.workers, got.threads) == (workers, threads)


def test_init_args_replace_the_machine() -> None:
    assert plan(ClientResources(1), 100, {"num_cpus": 3}).workers == 3
    assert plan(ClientResources(1, 1), 100, {"num_gpus": 2}).workers == 2


@pytest.mark.parametrize(
    ("resources", "key"),
    [(ClientResources(9), "num_cpus = 9"), (ClientResources(1, 5), "num_gpus = 5")],
)
def test_more_than_there_is_names_the_key(resources: ClientResources, key: str) -> None:
    with pytest.raises(ValueError, match=key):
        plan(resources, 100)


@pytest.mark.parametrize(
    "bad", [{"num_cpus": 0}, {"num_cpus": -1}, {"num_cpus": "2"}, {"num_gpus": -0.5}]
)
def test_nonsense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ClientResources(**bad)


def test_each_worker_sees_its_gpu() -> None:
    halves = plan(ClientResources(1, 0.5), 100)
    assert [halves.environment(i)["CUDA_VISIBLE_DEVICES"] for i in range(4)] == ["0", "0", "1", "1"]
    pairs = plan(ClientResources(1, 2), 100)
    assert pairs.environment(1) == {"CUDA_VISIBLE_DEVICES": "GPU-abc,3"}
    assert plan(ClientResources(1), 100).environment(0) == {}


def test_memory_limits_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "free_memory", lambda: 2 << 30)
    assert workers_that_fit(100 << 20) == 4
    assert workers_that_fit(10 << 30) == 1
