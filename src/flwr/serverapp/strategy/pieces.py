"""What strategies are made of, to make others from.

Replies are read by a `ReplyReader` as updates, and a `Reducer` makes one value of them:

- `ArrayMean`, and `Columnwise` with `median`, `trimmed_mean` or `mean_around_median`, of their
  arrays; `MetricMean` of their metrics. `reduce_replies` gives each update to all of them.
- `select_multikrum` and `select_repeated_krum` choose some of the replies.
- `Momentum`, `Adagrad`, `Adam` and `Yogi` say how the server steps from the current model towards
  what the replies were reduced to; `take_step` does it, given the model as `by_name` opens it.
- `sample_nodes` and `wait_for_nodes` say who is asked.
"""

from flwr.serverapp.strategy.columnwise import (
    Columnwise,
    mean_around_median,
    median,
    trimmed_mean,
)
from flwr.serverapp.strategy.metrics import MetricMean
from flwr.serverapp.strategy.reducers import ArrayMean, Reducer, reduce_replies
from flwr.serverapp.strategy.replies import ReplyReader, Update
from flwr.serverapp.strategy.sampling import sample_nodes, wait_for_nodes
from flwr.serverapp.strategy.selection import select_multikrum, select_repeated_krum
from flwr.serverapp.strategy.serversteps import (
    Adagrad,
    Adam,
    Momentum,
    Yogi,
    by_name,
    take_step,
)

__all__ = [
    "Adagrad",
    "Adam",
    "ArrayMean",
    "Columnwise",
    "MetricMean",
    "Momentum",
    "Reducer",
    "ReplyReader",
    "Update",
    "Yogi",
    "by_name",
    "mean_around_median",
    "median",
    "reduce_replies",
    "sample_nodes",
    "select_multikrum",
    "select_repeated_krum",
    "take_step",
    "trimmed_mean",
    "wait_for_nodes",
]
