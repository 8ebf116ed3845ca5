"""A model of the hub arrives whole or not at all: every fault is one clause, leaves nothing broken, and a retry succeeds."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import types

import huggingface_hub
import pytest
from doubles import says
from hub_server import COMMIT, NAME, Fault, HubServer
from huggingface_hub import constants, file_download

from fmcourse import download
from fmcourse.download import HubError, fetch

OTHER = COMMIT[::-1]  # a later commit
WEIGHTS = r"/storage/"


def broken(tmp_path):
    """Return what of the store is not what its name says."""
    download._found_whole.clear()
    store = list((tmp_path / "cache").glob("models--*/blobs/*"))
    named = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
    return [
        path.name
        for path in store
        if not named.fullmatch(path.name) or not download._is_whole(path)
    ]


# What is fetched.


@pytest.mark.parametrize(
    "layout, weights",
    [
        ("single", ["model.safetensors"]),
        ("sharded", ["model-0000", "model-0000"]),
        ("torch", ["pytorch_model.bin"]),
        ("both", ["model.safetensors"]),
    ],
)
def test_every_layout_arrives_whole_and_nothing_else_does(server, layouts, layout, weights, capsys):
    server.add(NAME, layouts / layout)
    found = fetch(NAME)
    assert found.commit == COMMIT == found.folder.name
    assert len(found.weights) >= len(weights) and all(map(str.startswith, found.weights, weights))
    assert found.safetensors is (layout != "torch")
    assert found.weight_bytes == sum(
        (layouts / layout / file).stat().st_size for file in found.weights
    )
    data = {file.name for file in (layouts / "single").iterdir()} - {"model.safetensors"}
    index = {"model.safetensors.index.json"} if layout == "sharded" else set()
    assert {file.name for file in found.folder.iterdir()} == {*data, *index, *found.weights}
    assert all(
        (found.folder / file).read_bytes() == (layouts / layout / file).read_bytes()
        for file in found.weights
    )
    assert capsys.readouterr().out == f"{NAME}: fetching 0.0 MB from the hub, commit {COMMIT}.\n"


def test_weights_come_last(server, layouts):
    server.add(NAME, layouts / "sharded")
    found = fetch(NAME)
    stored = [n for n, request in enumerate(server.asked) if "/storage/" in request]
    assert len(stored) == len(found.weights) and stored[0] > max(
        n for n, r in enumerate(server.asked) if r.endswith(".json")
    )


def test_what_is_in_the_cache_is_not_fetched_again(server, capsys):
    first = fetch(NAME)
    server.asked.clear()
    assert fetch(NAME) == first
    assert [
        request for request in server.asked if request.startswith("GET") and "/api/" not in request
    ] == []
    assert capsys.readouterr().out.count("fetching") == 1


def test_a_branch_that_moved_on_is_fetched_anew(server, layouts):
    fetch(NAME)
    server.add(NAME, layouts / "sharded", OTHER)
    assert fetch(NAME).commit == OTHER


def test_a_commit_in_the_cache_needs_no_hub(server):
    first = fetch(NAME, COMMIT)
    server.asked.clear()
    assert fetch(NAME, COMMIT) == first and server.asked == []


def test_a_model_without_weights_of_a_known_kind(server, layouts, tmp_path):
    (tmp_path / "bare").mkdir()
    shutil.copy(layouts / "single" / "config.json", tmp_path / "bare")
    server.add(NAME, tmp_path / "bare")
    with says(HubError, "it has no weights in safetensors or in torch's format"):
        fetch(NAME)


def test_the_environment_names_the_hub(server, tmp_path):
    """The real switch, HF_ENDPOINT, in a process of its own."""
    env = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    program = f"from fmcourse.download import fetch; print(fetch({NAME!r}).folder)"
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "home" / "hub") in done.stdout and COMMIT in done.stdout


# What goes wrong. Each fault is met once more after it is gone, and then all is well.

FAULTS = {
    "401": (Fault("", 401), "the hub has no such model, or does not show it to you"),
    "404": (
        Fault("", 404, "RepoNotFound"),
        "the hub has no such model, or does not show it to you",
    ),
    "gated": (
        Fault("", 403, "GatedRepo"),
        "its publisher asks you to accept terms first: log in on the hub and open the model's page",
    ),
    "429": (Fault("", 429), "the hub asks for a pause (429); try again in some minutes"),
    "503": (Fault("", 503), "the hub is out of order (503); try again later"),
    "503 of the storage": (Fault(WEIGHTS, 503), "the hub is out of order (503); try again later"),
    "418": (Fault("", 418), "the hub refuses (418)"),
    "404 of the weights": (Fault(WEIGHTS, 404), "the hub does not have all of its files (404)"),
    "a file that is not there": (
        Fault("/tokenizer.json", 404, "EntryNotFound"),
        "the hub does not have all of its files (404)",
    ),
    "truncated": (Fault(WEIGHTS, short=True), "a file came incomplete; run the cell again"),
    "altered": (
        Fault(WEIGHTS, alter=True),
        "its file model.safetensors was altered on the way and has been deleted; run the cell again",
    ),
    "altered configuration": (
        Fault("/config.json", alter=True),
        "its file config.json was altered on the way and has been deleted; run the cell again",
    ),
}


@pytest.mark.parametrize("fault, clause", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_clause_and_a_retry_succeeds(server, tmp_path, fault, clause):
    server.faults = [fault]
    with says(HubError, clause):
        fetch(NAME)
    assert broken(tmp_path) == []
    server.faults = []
    assert fetch(NAME).commit == COMMIT and broken(tmp_path) == []


def test_a_revision_that_is_not_there(server):
    with says(HubError, "the hub has the model, but not this revision"):
        fetch(NAME, OTHER)


def test_a_hub_that_cannot_be_reached(server, monkeypatch, layouts, tmp_path):
    with HubServer() as closed:
        pass
    closed.connect(monkeypatch, tmp_path / "cache")
    with says(HubError, "the hub cannot be reached"):
        fetch(NAME)
    server.connect(monkeypatch, tmp_path / "cache")
    assert fetch(NAME).commit == COMMIT


def test_a_hub_that_is_switched_off(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with says(HubError, "the hub is switched off here: HF_HUB_OFFLINE is set"):
        fetch(NAME)


@pytest.mark.parametrize(
    "where", ["/api/models", WEIGHTS], ids=["to say what it has", "to send it"]
)
def test_a_hub_that_is_too_slow(server, monkeypatch, tmp_path, where):
    monkeypatch.setattr(download, "ASK_SECONDS", 0.1)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    server.faults = [Fault(where, stall=0.5)]
    with says(HubError, "the hub is too slow to answer; try again later"):
        fetch(NAME)
    server.faults = []
    monkeypatch.setattr(download, "ASK_SECONDS", 60.0)  # a busy machine is slow as well
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 60.0)
    assert fetch(NAME).commit == COMMIT and broken(tmp_path) == []


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(server, layouts, tmp_path):
    server.faults = [Fault(WEIGHTS, cut=True, times=2)]
    found = fetch(NAME)
    assert (found.folder / "model.safetensors").read_bytes() == (
        layouts / "single" / "model.safetensors"
    ).read_bytes()
    assert sum("GET /storage/" in request for request in server.asked) == 3


def test_a_disk_that_is_too_small_is_found_before_the_weights_are_fetched(
    server, monkeypatch, tmp_path
):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=2e8))
    with says(HubError, "it needs 0.5 GB of disk, and 0.2 GB are free; make room"):
        fetch(NAME)
    assert not any("/storage/" in request for request in server.asked)


def test_a_disk_that_fills_up_on_the_way(server, monkeypatch, tmp_path):
    get = file_download.http_get

    def fill(url, file, **options):
        if "/storage/" not in url:
            return get(url, file, **options)
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_download, "http_get", fill)
    with says(HubError, "the disk is full; make room"):
        fetch(NAME)
    assert broken(tmp_path) == []
    monkeypatch.setattr(file_download, "http_get", get)
    assert fetch(NAME).commit == COMMIT


def test_an_altered_index_is_deleted_before_it_is_read(server, layouts, tmp_path):
    server.add(NAME, layouts / "sharded")
    server.faults = [Fault("index.json", alter=True)]
    with says(
        HubError,
        "its file model.safetensors.index.json was altered on the way and has been deleted; run the cell again",
    ):
        fetch(NAME)
    server.faults = []
    assert len(fetch(NAME).weights) > 1


def test_an_error_that_nobody_foresaw_says_its_first_line(monkeypatch, server):
    def fail(*arguments, **options):
        raise KeyError("x\ny")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with says(HubError, r"'x\ny'"):
        fetch(NAME)


# The copy in the cache.


@pytest.mark.parametrize("fault", ["401", "429", "503"])
def test_a_hub_that_does_not_answer_leaves_the_copy_of_an_earlier_class(server, capsys, fault):
    first = fetch(NAME)
    server.faults = [FAULTS[fault][0]]
    capsys.readouterr()
    assert fetch(NAME) == first
    assert (
        capsys.readouterr().out
        == f"{NAME}: {FAULTS[fault][1]}; going on with the copy in the cache, commit {COMMIT}.\n"
    )


def test_a_copy_with_a_shard_missing_is_none(server, layouts):
    server.add(NAME, layouts / "sharded")
    first = fetch(NAME)
    (first.folder / first.weights[-1]).unlink()
    server.faults = [FAULTS["503"][0]]
    with says(HubError, FAULTS["503"][1]):
        fetch(NAME)


def test_a_copy_that_rotted_is_deleted_and_fetched_again(server, tmp_path):
    first = fetch(NAME, COMMIT)
    weights = (first.folder / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    download._found_whole.clear()
    with says(
        HubError,
        "its file model.safetensors was altered on the way and has been deleted; run the cell again",
    ):
        fetch(NAME, COMMIT)
    assert fetch(NAME, COMMIT) == first and broken(tmp_path) == []


def test_a_cache_that_stores_no_checksums_is_not_compared(tmp_path):
    """Where links are not possible, the cache holds plain files under their own names."""
    (tmp_path / "config.json").write_text(json.dumps({}))
    assert download._is_whole(tmp_path / "config.json")
