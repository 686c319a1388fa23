"""Compare strategies on clients that hold different digits, and on clients that lie.

    python compare.py [FOLDER]

writes tables (Markdown) and plots (SVG) into the folder. It takes about a minute on two cores, and
all of it is seeded.
"""

import logging
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import digits
import numpy as np
import pygal
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import (
    Bulyan,
    FedAdam,
    FedAvg,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
    Strategy,
)
from flwr.simulation import run_simulation

SEEDS = [1, 2, 3]
LIARS = 3  # clients 0, 1 and 2, where clients lie
CLAIM = 5  # times as many examples as they have
EQUAL = {"labels-each": 0, "uneven-work": False, "learning-rate": 0.1, "liars": 0, "claim": 1}
SKEWED = EQUAL | {"labels-each": 2, "uneven-work": True, "learning-rate": 0.3}


class Curve(NamedTuple):
    """What a run came to, by round."""

    accuracy: list[float]  # on the test set, from round 0
    moved: list[float]  # how far clients moved the model


Curves = dict[str, list[Curve]]  # by label, one for each seed

client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Train on this client's digits; a liar takes each digit d for 9 - d."""
    config, client = message.content["config"], context.node_config["partition-id"]
    clients, seed = context.node_config["num-partitions"], config["seed"]
    if config["labels-each"]:
        part = digits.by_label(clients, config["labels-each"], seed)[client]
    else:
        part = digits.at_random(clients, seed)[client]
    images, labels = (values[part] for values in digits.load_data()[:2])
    lies = client < config["liars"]
    seed = [seed, config["server-round"], client]
    epochs = np.random.default_rng(seed).choice([1, 40]) if config["uneven-work"] else 5
    sent = message.content["arrays"]
    weights = digits.train(
        sent.to_numpy_ndarrays(),
        images,
        9 - labels if lies else labels,
        epochs=epochs,
        learning_rate=config["learning-rate"],
        proximal_mu=config.get("proximal-mu", 0.0),
        seed=seed,
    )
    examples = len(part) * (config["claim"] if lies else 1)
    moved = digits.distance(weights, sent.to_numpy_ndarrays())
    records = {
        "arrays": ArrayRecord(weights),
        "metrics": MetricRecord({"num-examples": examples, "moved": moved}),
    }
    return Message(RecordDict(records), reply_to=message)


def learn(grid: Grid, strategy: Strategy, rounds: int, config: dict[str, float]) -> Curve:
    """Run a strategy."""
    random.seed(config["seed"])  # draws the clients
    _, _, x_test, y_test = digits.load_data()
    accuracy = []

    def test(_: int, arrays: ArrayRecord) -> None:
        accuracy.append(digits.accuracy(arrays.to_numpy_ndarrays(), x_test, y_test))

    result = strategy.start(
        grid,
        ArrayRecord(digits.new_weights(config["seed"])),
        num_rounds=rounds,
        train_config=ConfigRecord(config),
        evaluate_fn=test,
    )
    return Curve(accuracy, [m["moved"] for m in result.train_metrics_clientapp.values()])


def simulate(clients: int, *tasks) -> None:
    """Let tasks have a grid of this many clients, one after the other."""
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        for task in tasks:
            task(grid)

    run_simulation(server_app, client_app, num_supernodes=clients)


def label_skew(grid: Grid, curves: Curves) -> None:
    """Clients with two digits each; half of them train in a round, for one epoch or for forty."""
    half = {"fraction_train": 0.5, "fraction_evaluate": 0.0}
    for label, make in {
        "FedAvg": lambda: FedAvg(**half),
        "FedProx (mu = 0.01)": lambda: FedProx(**half, proximal_mu=0.01),
        "FedAdam (eta = 0.1)": lambda: FedAdam(**half, eta=0.1),
        "FedYogi (eta = 0.1)": lambda: FedYogi(**half, eta=0.1),
    }.items():
        curves[label] = [learn(grid, make(), 30, SKEWED | {"seed": seed}) for seed in SEEDS]


def label_flipping(grid: Grid, curves: Curves, claim: int, rules: dict[str, object]) -> None:
    """Clients that are alike, three of whom flip their labels."""
    for label, make in rules.items():
        liars = 0 if "nobody lies" in label else LIARS
        config = EQUAL | {"liars": liars, "claim": claim}
        curves[label] = [learn(grid, make(), 20, config | {"seed": seed}) for seed in SEEDS]


COLOURS = (
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#7f7f7f", "#17becf",
)  # fmt: skip
ALL = {"fraction_evaluate": 0.0}
TEN = {
    "FedAvg, nobody lies": lambda: FedAvg(**ALL),
    "FedAvg": lambda: FedAvg(**ALL),
    "FedMedian": lambda: FedMedian(**ALL),
    "FedTrimmedAvg (beta = 0.3)": lambda: FedTrimmedAvg(**ALL, beta=0.3),
    "Krum": lambda: Krum(**ALL, num_malicious_nodes=LIARS),
    "MultiKrum (7 selected)": lambda: MultiKrum(
        **ALL, num_malicious_nodes=LIARS, num_nodes_to_select=7
    ),
}
# Bulyan needs 4 f + 3 clients
FIFTEEN = {
    "FedAvg (15 clients)": lambda: FedAvg(**ALL),
    "Bulyan (15 clients)": lambda: Bulyan(**ALL, num_malicious_nodes=LIARS),
}


def last_five(curves: list[Curve], rounds: int | None = None) -> str:
    """Return mean and standard deviation over seeds of five rounds' accuracy, up to a round."""
    end = None if rounds is None else rounds + 1
    last = 100 * np.array([c.accuracy[:end][-5:] for c in curves]).mean(axis=1)
    return f"{last.mean():.1f} ± {last.std():.1f}"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot(path: Path, title: str, curves: Curves) -> None:
    """Draw the mean over seeds."""
    style = pygal.style.CleanStyle(
        background="white", plot_background="white", colors=COLOURS, title_font_size=18
    )
    chart = pygal.Line(
        title=title,
        x_title="round",
        y_title="test accuracy",
        range=(0, 1),
        style=style,
        show_dots=False,
        stroke_style={"width": 2},
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        no_prefix=True,
        js=[],
    )
    rounds = len(next(iter(curves.values()))[0].accuracy)
    chart.x_labels = [str(number) for number in range(rounds)]
    chart.x_labels_major = chart.x_labels[::5]
    chart.show_minor_x_labels = False
    for label, of_seeds in curves.items():
        mean = np.mean([curve.accuracy for curve in of_seeds], axis=0)
        chart.add(label, mean.round(4).tolist())
    chart.render_to_file(str(path))


def main(folder: Path) -> None:
    """Run all and write tables and plots."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    skew: Curves = {}
    honest: Curves = {}
    false: Curves = {}
    simulate(
        10,
        lambda grid: label_skew(grid, skew),
        lambda grid: label_flipping(grid, honest, 1, TEN),
        lambda grid: label_flipping(grid, false, CLAIM, TEN),
    )
    simulate(
        15,
        lambda grid: label_flipping(grid, honest, 1, FIFTEEN),
        lambda grid: label_flipping(grid, false, CLAIM, FIFTEEN),
    )
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "label-skew": table(
            ["strategy", "rounds 6 to 10", "rounds 26 to 30", "a client moves"],
            (
                [
                    name,
                    last_five(runs, 10),
                    last_five(runs),
                    f"{np.mean([c.moved for c in runs]):.2f}",
                ]
                for name, runs in skew.items()
            ),
        ),
        "label-flipping": table(
            ["strategy", "true counts", f"liars claim {CLAIM} times their examples"],
            ([name, last_five(honest[name]), last_five(false[name])] for name in honest),
        ),
    }
    for name, text in tables.items():
        (folder / f"{name}.md").write_text(text)
        print(text)
    plot(folder / "label-skew.svg", "Ten clients with two digits each", skew)
    plot(folder / "label-flipping.svg", "Three clients flip labels and claim five-fold", false)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
