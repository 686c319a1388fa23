"""Rules that need all replies at once do not need them in memory."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("robust_memory.py")
REPLIES = 20
RULES = ["FedMedian", "FedTrimmedAvg", "Krum", "MultiKrum", "Bulyan"]


def peak_megabytes(rule: str, megabytes: int) -> float:
    command = [sys.executable, str(SCRIPT), rule, str(REPLIES), str(megabytes)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(result.stdout)


@pytest.mark.parametrize("rule", ["FedMedian", "MultiKrum"])
def test_800_mb_of_replies_in_a_file_take_little_more_than_the_new_model(rule: str) -> None:
    assert peak_megabytes(rule, 40) < 300


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", RULES)
def test_8_gb_of_replies_in_a_file_take_less_than_1_gb(rule: str) -> None:
    assert peak_megabytes(rule, 400) < 1000
