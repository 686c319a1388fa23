"""1.8: a server with a round of its own, and a client that fails in each second one."""

from keeping import keep
from tasks import NODES, descend, examples, line, squared_error, zeros

import flwr as fl
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import Server, SimpleClientManager
from flwr.server.server import fit_clients
from flwr.server.strategy.aggregate import aggregate


class LineClient(fl.client.NumPyClient):
    def __init__(self, cid):
        self.cid = cid
        self.x, self.y = line(cid, examples(cid))

    def fit(self, parameters, config):
        if self.cid == "1" and config["round"] % 2 == 0:
            raise RuntimeError(f"client {self.cid} has no electricity")
        return descend(parameters, self.x, self.y), len(self.y), {}

    def evaluate(self, parameters, config):
        if self.cid == "1" and config["round"] % 2 == 0:
            raise RuntimeError(f"client {self.cid} has no electricity")
        return squared_error(parameters, self.x, self.y), len(self.y), {}


def client_fn(cid: str):
    return LineClient(cid).to_client()


class OwnServer(Server):
    """Moves half of the way to the mean of its clients."""

    def fit_round(self, server_round, timeout):
        instructions = self.strategy.configure_fit(
            server_round=server_round,
            parameters=self.parameters,
            client_manager=self._client_manager,
        )
        results, failures = fit_clients(
            client_instructions=instructions,
            max_workers=self.max_workers,
            timeout=timeout,
            group_id=server_round,
        )
        pairs = [(parameters_to_ndarrays(res.parameters), res.num_examples) for _, res in results]
        mean = aggregate(pairs)
        before = parameters_to_ndarrays(self.parameters)
        after = [old + 0.5 * (new - old) for old, new in zip(before, mean, strict=True)]
        raised = [isinstance(failure, BaseException) for failure in failures]
        metrics = {"failed": sum(raised), "examples": sum(count for _, count in pairs)}
        keep(arrays=after)
        return ndarrays_to_parameters(after), metrics, (results, failures)


def run():
    def config(server_round):
        return {"round": server_round}

    strategy = fl.server.strategy.FedAvg(
        on_fit_config_fn=config,
        on_evaluate_config_fn=config,
        min_fit_clients=NODES,
        min_evaluate_clients=NODES,
        min_available_clients=NODES,
        initial_parameters=ndarrays_to_parameters(zeros()),
    )
    history = fl.simulation.start_simulation(
        client_fn=client_fn,
        num_clients=NODES,
        server=OwnServer(client_manager=SimpleClientManager(), strategy=strategy),
        config=fl.server.ServerConfig(num_rounds=4),
    )
    keep(history=history)
