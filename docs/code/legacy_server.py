import sys

import flwr as fl

history = fl.server.start_server(
    server_address=sys.argv[1],
    config=fl.server.ServerConfig(num_rounds=3),
    strategy=fl.server.strategy.FedAvg(),
)
print("losses:", [round(loss, 3) for _, loss in history.losses_distributed])
