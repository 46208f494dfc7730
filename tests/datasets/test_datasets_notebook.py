"""Published data in a notebook: absent, it ends the run quietly; corrupt, it is an error like any other."""

from __future__ import annotations

from unittest.mock import Mock

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from routerlab.datasets import AbsentFileError, DataFileError, fetch_or_stop

FETCH = """
from unittest.mock import Mock
from routerlab.datasets import AbsentFileError, DataFileError, fetch_or_stop
data = fetch_or_stop(Mock(side_effect={error}("a.csv of this machine")))
"""


def run_all(error: str) -> tuple[nbformat.NotebookNode, CellExecutionError]:
    notebook = new_notebook(cells=[new_code_cell(FETCH.format(error=error)), new_code_cell("print(data)")])
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(notebook, timeout=120).execute()
    return notebook, caught.value


def test_passes_arguments_and_result_through():
    assert fetch_or_stop(dict, [("a", 1)], b=2) == {"a": 1, "b": 2}


def test_outside_ipython_absent_data_is_the_usual_error():
    with pytest.raises(AbsentFileError, match=r"a\.csv"):
        fetch_or_stop(Mock(side_effect=AbsentFileError("a.csv")))


@pytest.mark.slow
def test_absent_data_shows_what_to_do_and_runs_nothing_below():
    notebook, error = run_all("AbsentFileError")
    assert error.ename == "StopNotebook"
    first, below = notebook.cells
    assert [o["output_type"] for o in first.outputs] == ["display_data"]
    assert "ROUTERLAB_DATA" in first.outputs[0]["data"]["text/markdown"]
    assert below.outputs == [] and below.execution_count is None


@pytest.mark.slow
def test_a_corrupt_file_is_an_error_in_a_notebook_too():
    notebook, error = run_all("DataFileError")
    assert error.ename == DataFileError.__name__
    assert [o["output_type"] for o in notebook.cells[0].outputs] == ["error"]
