"""Fixtures that several files share: a folder of runs on fake networks, and the command line in this process."""

import signal
import sys

import pytest
from support import fake_backend

from edgecache.cli.main import main


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The folder of runs on fake networks."""
    fake_backend.install(monkeypatch, tmp_path / "log")
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def run(capsys, monkeypatch):
    """The command line in this process: its exit code, standard output and standard error."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgecache", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    yield run
    signal.signal(signal.SIGTERM, before)
