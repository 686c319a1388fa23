"""What `import flwr.store` and opening a database load."""

from pathlib import Path

from sample_runs import Script

LOADED = """
import sys
from pathlib import Path
from flwr.store import Store

for _ in range(2):
    with Store.open(Path(sys.argv[1])) as store:
        store.runs()
print([name for name in ("alembic", "numpy", "flwr.app", "sqlalchemy.orm") if name in sys.modules])
"""


def test_neither_a_new_nor_a_known_database_needs_alembic_or_numpy(
    path: Path, script: Script
) -> None:
    assert script(LOADED, path).communicate()[0] == "[]\n"
