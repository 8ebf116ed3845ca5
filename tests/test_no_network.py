"""The network is off for the tests, for what they start, and for the kernels of notebooks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import nbformat
import pytest
from huggingface_hub import HfApi

from tools import course

OUTSIDE = "192.0.2.1"  # reserved for documentation, routed nowhere
CONNECT = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"


def test_connections_look_ups_and_datagrams_are_refused():
    for reach in (
        lambda: socket.create_connection((OUTSIDE, 80), timeout=1),
        lambda: socket.getaddrinfo("example.org", 443),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (OUTSIDE, 53)),
    ):
        with pytest.raises(OSError, match="the network is off in the tests"):
            reach()
    with pytest.raises(OSError):
        HfApi().model_info("EleutherAI/gpt-neo-125m", timeout=1)


def test_loopback_works():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as client:
            assert client.getpeername() == server.getsockname()


def test_a_child_process_and_a_kernel_are_cut_off_too(tmp_path):
    done = subprocess.run([sys.executable, "-c", CONNECT], capture_output=True, check=False)
    assert b"the network is off in the tests" in done.stderr
    source = f"try:\n    {CONNECT}\nexcept OSError as error:\n    print(error)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "try.ipynb")
    executed = course.run(tmp_path / "try.ipynb", dict(os.environ))
    assert "the network is off in the tests" in executed.cells[0].outputs[0].text
