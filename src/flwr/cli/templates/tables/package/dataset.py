"""The table: one that comes with scikit-learn, or one of the Hugging Face Hub."""

from functools import cache

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import train_test_split

from $package.partition import deal

SHIPPED = {"cancer": load_breast_cancer, "iris": load_iris}


@cache
def load_table(dataset):
    """Return a table with a column "target": whole numbers from 0."""
    if dataset in SHIPPED:
        return SHIPPED[dataset](as_frame=True).frame
    from datasets import load_dataset

    table = load_dataset("scikit-learn/adult-census-income", split="train").to_pandas()
    table = table.rename(columns={"income": "target"})
    table["target"] = pd.factorize(table["target"], sort=True)[0]
    texts = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    return table.astype(dict.fromkeys(texts, "category"))


@cache
def load_split(dataset, seed):
    """Return the rows that are dealt to clients, and those that the server tests on."""
    table = load_table(dataset)
    return train_test_split(table, test_size=0.2, random_state=seed, stratify=table["target"])


@cache
def load_partition(dataset, partition_id, num_partitions, alpha, seed):
    """Return one client's rows: four fifths to train on, the rest to evaluate on."""
    table, _ = load_split(dataset, seed)
    indices = deal(table["target"].to_numpy(), num_partitions, alpha, seed)[partition_id]
    held_out = len(indices) // 5
    return table.iloc[indices[held_out:]], table.iloc[indices[:held_out]]
