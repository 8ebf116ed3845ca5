"""The network is off for the tests, for what they start, and for the kernels of notebooks; loopback stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import nbformat
import pytest

from tools import course

OUTSIDE = "192.0.2.1"  # reserved for documentation, routed nowhere


def test_a_connection_is_refused_with_the_remedy():
    with pytest.raises(
        OSError,
        match=rf"no connection to {OUTSIDE}: the network is off in the tests: use a bundled file",
    ):
        socket.create_connection((OUTSIDE, 80), timeout=1)


def test_a_name_is_not_looked_up():
    with pytest.raises(socket.gaierror, match="no look-up of example.org"):
        socket.getaddrinfo("example.org", 443)


def test_a_datagram_is_refused():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        pytest.raises(OSError, match="no connection"),
    ):
        sender.sendto(b"x", (OUTSIDE, 53))


def test_loopback_works():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as client:
            assert client.getpeername() == server.getsockname()


def test_a_child_process_is_cut_off_too():
    program = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"no connection to {OUTSIDE}: the network is off in the tests" in done.stderr


def test_the_hub_library_is_offline():
    from huggingface_hub import HfApi, constants

    assert constants.HF_HUB_OFFLINE
    with pytest.raises(OSError):
        HfApi().model_info("EleutherAI/gpt-neo-125m", timeout=1)


def test_a_kernel_is_cut_off_too(tmp_path):
    connect = f"socket.create_connection(('{OUTSIDE}', 80), 1)"
    source = f"import socket\ntry:\n    {connect}\nexcept OSError as error:\n    print(error)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "try.ipynb")
    executed = course.run(tmp_path / "try.ipynb", dict(os.environ))
    assert (
        executed.cells[0]
        .outputs[0]
        .text.startswith(f"no connection to {OUTSIDE}: the network is off")
    )
