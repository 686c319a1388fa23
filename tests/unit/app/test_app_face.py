import subprocess
import sys

import flwr.app

FACE = {
    *("Array", "ArrayRecord", "ConfigRecord", "ConfigRecordValues", "ConfigScalar"),
    *("ConfigScalarList", "Context", "DEFAULT_TTL", "Error", "Message", "MessageType", "Metadata"),
    *("MetricRecord", "MetricRecordValues", "MetricScalar", "MetricScalarList", "RecordDict"),
    *("UserConfig", "UserConfigValue"),
}
HEAVY = (
    *("aiohttp", "alembic", "cloudpickle", "http.client", "http.server", "ml_dtypes", "msgspec"),
    *("plotext", "pygal", "requests", "rich", "socket", "sqlalchemy", "sqlite3", "ssl", "torch"),
    *("typer", "urllib.request", "urllib3"),
)


def in_a_fresh_interpreter(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_face_is_exactly_the_documented_one():
    assert set(flwr.app.__all__) == FACE
    assert len(flwr.app.__all__) == len(FACE)
    assert all(hasattr(flwr.app, name) for name in FACE)


def test_aliases():
    assert flwr.app.MetricScalar == int | float
    assert flwr.app.MetricScalarList == list[int] | list[float]
    assert flwr.app.MetricRecordValues == int | float | list[int] | list[float]
    assert flwr.app.ConfigScalar == int | float | str | bytes | bool
    assert flwr.app.ConfigRecordValues == flwr.app.ConfigScalar | flwr.app.ConfigScalarList
    assert flwr.app.UserConfigValue == bool | float | int | str
    assert flwr.app.UserConfig == dict[str, flwr.app.UserConfigValue]


def test_importing_loads_numpy_and_nothing_heavy():
    code = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import flwr.app, flwr.app.memory, flwr.app.events, flwr.app.renamed\n"
        f"print([name for name in {HEAVY!r} if name in set(sys.modules) - before])"
    )
    assert in_a_fresh_interpreter(code).strip() == "[]"


def test_using_it_needs_no_torch_and_no_ml_dtypes():
    code = (
        "import sys, numpy as np\n"
        "from flwr.app import *\n"
        "record = ArrayRecord([np.zeros(3), np.asfortranarray(np.ones((2, 2)))])\n"
        "ArrayRecord(dict(record)).to_numpy_ndarrays()\n"
        "message = Message(RecordDict({'a': record, 'm': MetricRecord({'x': 1})}), 1, 'train')\n"
        "repr(Message(message.content, reply_to=message))\n"
        "print('torch' in sys.modules, 'ml_dtypes' in sys.modules)"
    )
    assert in_a_fresh_interpreter(code).strip() == "False False"


def test_without_torch_a_state_dict_is_a_runtime_error():
    code = (
        "import sys, numpy as np\n"
        "sys.modules['torch'] = None\n"
        "from flwr.app import ArrayRecord\n"
        "try:\n"
        "    ArrayRecord([np.zeros(3)]).to_torch_state_dict()\n"
        "except RuntimeError as error:\n"
        "    print(error)"
    )
    assert "PyTorch is required" in in_a_fresh_interpreter(code)


def test_modules_say_where_classes_are_defined():
    for name in ("Array", "ArrayRecord", "Message", "RecordDict", "Context"):
        assert getattr(flwr.app, name).__module__.startswith("flwr.app.")
