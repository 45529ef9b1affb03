"""How runs look in a list."""

import pytest

from makfs.cli.psview import LEAST_COMMAND, render
from makfs.cli.text import columns
from makfs.wire.runrecord import RunRecord

RUN = RunRecord(7, "alice", ("sh", "-c", "echo " + "x" * 200), "ended", True, True, (), 0, exit_code=0)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_list_of_runs_fits_a_terminal_by_cutting_commands(width: int) -> None:
    lines = render([RUN], 0, width)
    assert max(map(columns, lines)) <= width
    assert lines[-1].startswith("└─ 7   sh -c 'echo xx")


def test_command_is_cut_no_further_than_can_be_read() -> None:
    command = render([RUN], 0, 10)[-1].removeprefix("└─ 7   ").partition("…")[0]
    assert len(command) == LEAST_COMMAND - 1


def test_programs_get_the_list_whole() -> None:
    assert render([RUN], 0) == render([RUN], 0, 1000)
