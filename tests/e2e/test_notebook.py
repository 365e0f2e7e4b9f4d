"""A real notebook, run by nbclient: its curve grows in one output of its cell."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sankofa.curve import PLOTLY

pytestmark = pytest.mark.e2e

CELL = """
from sankofa import Client

client = Client({url!r}, {key!r})
layers = [{{"type": "dense", "units": 8, "activation": "tanh"}}, {{"type": "dense", "units": 1}}]
data = {{"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}}
job = client.train(layers, data, "y", epochs=150_000, batch_size=4, seed=7, name="xor", watch=True)
"""


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the kernel sent to be shown, message by message."""
    nbclient = pytest.importorskip("nbclient", reason="no nbclient")
    sent: list[dict[str, Any]] = []
    processed = nbclient.NotebookClient.process_message

    def kept(self: Any, message: Any, cell: Any, cell_index: int) -> Any:
        if message["msg_type"] in ("display_data", "update_display_data"):
            sent.append(message)
        return processed(self, message, cell, cell_index)

    monkeypatch.setattr(nbclient.NotebookClient, "process_message", kept)
    return sent


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own parts
def test_the_curve_of_a_job_grows_in_one_output(embedded: Any, updates: list[dict[str, Any]]) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient", reason="no nbclient"), pytest.importorskip("nbformat", reason="no nbformat")
    pytest.importorskip("ipykernel", reason="no ipykernel")
    client = embedded.start()
    code = CELL.format(url=client.url, key=client._connection.api_key)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (code, "job.curve()", "print(job.state)")])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    watched, shown, state = notebook.cells
    (output,) = watched.outputs
    assert output.output_type == "display_data", "the same output all the while, and no lines on stderr"
    lengths = [len(message["content"]["data"][PLOTLY]["data"][0]["x"]) for message in updates if PLOTLY in message["content"]["data"]]
    assert len(lengths) >= 3
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]
    assert len({message["content"]["transient"]["display_id"] for message in updates}) == 1
    assert output.data[PLOTLY]["data"][0]["x"][-1] == 150_000
    assert output.data["text/plain"].startswith("xor  succeeded  epoch 150000/150000")
    assert shown.outputs[0].data[PLOTLY]["data"][0]["name"] == "loss"
    assert state.outputs[0].text == "succeeded\n"


def test_plain_python_is_no_notebook_and_loads_no_ipython() -> None:
    program = "import sys; from sankofa.notebook import is_notebook; print(is_notebook(), 'IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
