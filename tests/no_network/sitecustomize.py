"""Switches the network off in this Python and in all that it starts; loaded by its name.

An audit hook sees each connection, datagram and name look-up, whichever library asks, and cannot
be taken away. (pytest-socket would not reach child processes and kernels.)
"""

import ipaddress
import os
import socket
import sys

REMEDY = "the network is off in the tests: use a bundled file or a stand-in"
LOCAL_NAMES = {"localhost", "localhost.localdomain", ""}
ADDRESSED = {"socket.connect", "socket.sendto", "socket.sendmsg"}
NAMED = {"socket.getaddrinfo", "socket.gethostbyname", "socket.getnameinfo", "socket.gethostbyaddr"}


def guard(event, arguments):
    if event in ADDRESSED:
        address = arguments[1]
        if isinstance(address, tuple) and not _is_local(address[0]):
            raise OSError(f"no connection to {address[0]}: {REMEDY}")
    elif event in NAMED:
        host = arguments[0][0] if isinstance(arguments[0], tuple) else arguments[0]
        if not _is_local(host):
            raise socket.gaierror(socket.EAI_AGAIN, f"no look-up of {_text(host)}: {REMEDY}")


def _is_local(host):
    if _text(host) in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(_text(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _text(host):
    return host.decode() if isinstance(host, bytes) else host or ""


if not getattr(sys, "fmcourse_network_off", False):
    sys.fmcourse_network_off = True
    sys.addaudithook(guard)
    hub_is_local = os.environ.get("HF_ENDPOINT", "").startswith(
        "http://127.0.0.1:"
    )  # the tests' own: hub_server.py
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "0" if hub_is_local else "1"
