"""What other processes print gets between the lines of this one, not into them."""

import io
import threading

from flwr.cli.tee import Tee


def test_a_line_of_another_process_waits_for_the_end_of_ours() -> None:
    terminal, log = io.StringIO(), io.StringIO()
    tee = Tee(terminal, log)
    print("one", end="", file=tee)
    other = threading.Thread(target=tee.write_between_lines, args=("other\n",))
    other.start()
    print(" two", file=tee)
    other.join(10)
    assert terminal.getvalue() == log.getvalue() == "one two\nother\n"


def test_a_line_that_is_left_open_does_not_stop_others() -> None:
    tee = Tee(io.StringIO(), log := io.StringIO())
    print("working", end="", file=tee)
    tee.write_between_lines("other\n")
    assert log.getvalue() == "workingother\n"
