"""The network is off for the tests, for what they start, and for the kernels of notebooks."""

import socket
import subprocess
import sys

import pytest

OUTSIDE = "192.0.2.1"  # reserved for documentation, routed nowhere


def test_connections_look_ups_and_datagrams_are_refused():
    for reach in (
        lambda: socket.create_connection((OUTSIDE, 80), timeout=1),
        lambda: socket.getaddrinfo("example.org", 443),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (OUTSIDE, 53)),
    ):
        with pytest.raises(OSError, match="the network is off in the tests"):
            reach()


def test_a_child_process_is_cut_off_too():
    """A kernel of a notebook is one: the hook comes with PYTHONPATH."""
    connect = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", connect], capture_output=True, check=False)
    assert b"the network is off in the tests" in done.stderr
