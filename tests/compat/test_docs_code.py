"""The code of the pages on strategies, mods and older apps runs, and prints what the pages say."""

import contextlib
import io
import logging
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [*sorted((DOCS / "strategies").glob("*.md")), DOCS / "mods.md", DOCS / "move-here.md"]
CODE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs_and_prints_what_the_page_says(
    page: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The blocks of a page run one after the other; a text block right below one is its output."""
    monkeypatch.syspath_prepend(str(DOCS / "code"))
    caplog.set_level(logging.INFO, "flwr")  # a page may change it; afterwards it is as before
    random.seed(0)
    scope: dict[str, Any] = {"__name__": page.stem}
    blocks = CODE.findall(page.read_text())
    assert blocks or page.stem == "comparison"
    for code, expected in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, f"{page.name}: {code[:40]!r}", "exec"), scope)
        assert output.getvalue() == expected


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["label-skew", "label-flipping"])
def test_the_comparison_is_what_the_example_makes(name: str, comparison: Path) -> None:
    """The same figures, up to what other versions of NumPy may change."""
    written = (DOCS / "strategies" / "comparison" / f"{name}.md").read_text()
    made = (comparison / f"{name}.md").read_text()
    for line, other in zip(written.splitlines(), made.splitlines(), strict=True):
        label, *cells = line.strip("| ").split(" | ")
        other_label, *other_cells = other.strip("| ").split(" | ")
        assert label == other_label
        for cell, other_cell in zip(cells, other_cells, strict=True):
            if re.match(r"\d", cell):
                mean, other_mean = (float(text.split(" ")[0]) for text in (cell, other_cell))
                assert mean == pytest.approx(other_mean, abs=2)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the example writes."""
    folder = tmp_path_factory.mktemp("comparison")
    script = DOCS.parent / "examples" / "strategy-comparison" / "compare.py"
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True)
    return folder
