"""What is asked of a table, and how answers are added: nothing here is federated."""

import numpy as np
import pandas as pd

WIDEST = 10.0  # histograms go from 0 to here; clients must agree before they see each other's data


def numbers_of(table):
    """Return the columns that can be added up."""
    return table.drop(columns="target").select_dtypes("number")


def sums(table, bins):
    """Return, by column: count, sum, sum of squares, and the counts of a histogram."""
    numbers = numbers_of(table)
    return {
        name: [
            float(column.count()),
            float(column.sum()),
            float((column**2).sum()),
            *np.histogram(column.clip(0, WIDEST), bins, (0, WIDEST))[0].astype(float),
        ]
        for name, column in numbers.items()
    }


def summary(answers):
    """Return a table of count, mean, deviation and histogram from the sums of all clients."""
    total = {name: np.sum([answer[name] for answer in answers], axis=0) for name in answers[0]}
    rows = {}
    for name, (count, added, squares, *histogram) in total.items():
        mean = added / count
        deviation = np.sqrt(max(squares / count - mean**2, 0))
        rows[name] = [int(count), mean, deviation, " ".join(f"{n:.0f}" for n in histogram)]
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["count", "mean", "deviation", "histogram"]
    )
