"""The instructions and answers, and who has which."""

import json
from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).with_name("instructions.jsonl")
PROMPT = "### Instruction:\n{instruction}\n### Response:\n{output}"


@cache
def load_texts(dataset):
    """Return all texts, each an instruction with its answer."""
    if dataset == "shipped":
        rows = [json.loads(line) for line in SHIPPED.read_text(encoding="utf-8").splitlines()]
    else:
        from datasets import load_dataset

        rows = load_dataset(dataset, split="train")
    return [PROMPT.format(instruction=row["instruction"], output=row["output"]) for row in rows]


def load_partition(dataset, partition_id, num_partitions):
    """Return one client's texts."""
    texts = load_texts(dataset)[partition_id::num_partitions]
    if not texts:
        raise ValueError(f"There are not enough texts for {num_partitions} clients")
    return texts
