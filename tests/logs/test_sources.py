"""Published traces: listed, downloaded by their pinned sha256, and refused where they do not verify. No test opens the network."""

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
from support.logs import GENTD26, REAL, SHARED, needs_real_log

from edgecache import InputError
from edgecache.logs import sources
from edgecache.logs.sources import SOURCES, fetch_trace, find_trace, traces_folder

pooch = pytest.importorskip("pooch")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECACHE_TRACES", str(tmp_path / "traces"))
    return tmp_path / "traces"


def serving(content):
    """A downloader of that content, in place of the network."""

    def download(address, target, manager):
        assert address.startswith("https://")
        Path(target).write_bytes(content)

    return download


@pytest.fixture
def small(monkeypatch):
    """GenTD26's entry with the sha256 of a small synthetic file."""
    content = GENTD26.encode()
    entry = dataclasses.replace(SOURCES["gentd26"], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(sources.SOURCES, "gentd26", entry)
    return content


def test_every_source_says_what_a_user_must_know():
    for name, source in SOURCES.items():
        assert source.name == name and source.about and source.licence and source.citation
        assert source.address.startswith("https://") and ("by hand" in source.about) == (not source.sha256)
        assert not source.sha256 or (re.fullmatch("[0-9a-f]{64}", source.sha256) and re.search("/[0-9a-f]{40}/", source.address))


def test_a_download_is_checked_and_kept_once(folder, small):
    path = fetch_trace("gentd26", serving(small))
    assert path == folder / "lora_request_trace.csv" and path.read_bytes() == small
    assert find_trace("gentd26") == path

    def refuse(*arguments):
        raise AssertionError("it is on disk")

    assert fetch_trace("gentd26", refuse) == path


def test_what_does_not_verify_is_not_kept(folder, small):
    with pytest.raises(InputError, match=r"does not have the sha256 of gentd26 .*; nothing was kept"):
        fetch_trace("gentd26", serving(small[:-1]))
    assert not folder.exists() or list(folder.iterdir()) == []


def test_an_altered_file_on_disk_is_refused(folder, small):
    folder.mkdir()
    (folder / "lora_request_trace.csv").write_bytes(small + b"x")
    with pytest.raises(
        InputError, match=r"lora_request_trace.csv does not have the sha256 of gentd26 \(.*\): it was cut or altered; remove"
    ):
        fetch_trace("gentd26", serving(small))


def test_without_a_network_the_sentence_has_address_and_place(folder, small):
    def offline(*arguments):
        raise ConnectionError

    with pytest.raises(InputError) as error:
        fetch_trace("gentd26", offline)
    assert f"fetch {SOURCES['gentd26'].address} elsewhere and put it as {folder / 'lora_request_trace.csv'}" in str(error.value)
    assert "\n" not in str(error.value) and list(folder.glob("*")) == []


def test_by_hand_unknown_and_absent(folder):
    with pytest.raises(InputError, match=r"azure-llm-2024 is fetched by hand from https://.*; put .*1week.csv into"):
        fetch_trace("azure-llm-2024")
    with pytest.raises(InputError, match="unknown trace 'gentd'; did you mean 'gentd26'"):
        fetch_trace("gentd")
    with pytest.raises(
        InputError, match="the trace gentd26 is not on disk; get it with: edgecache traces gentd26; its fitted twin"
    ):
        find_trace("gentd26")
    assert find_trace("own.csv") == Path("own.csv")


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGECACHE_TRACES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert traces_folder() == tmp_path / "edgecache" / "traces"


@needs_real_log
def test_the_shared_file_is_the_publishers():
    assert SHARED.is_dir() and hashlib.sha256(REAL.read_bytes()).hexdigest() == SOURCES["gentd26"].sha256
