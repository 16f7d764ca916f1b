"""The sentence about an optional package that is missing."""

import sys

import pytest

from edgecache import InputError
from edgecache.errors import require


def test_a_module_that_is_there_is_imported():
    import json.decoder

    assert require("json.decoder", "all", "this test") is json.decoder


@pytest.mark.parametrize("module", ["missing_package", "missing_package.part"])
def test_a_missing_module_names_what_needs_it_and_the_extra(module):
    with pytest.raises(InputError, match=r"^this test needs missing_package: pip install 'edgecache\[claims\]'$"):
        require(module, "claims", "this test")


def test_what_an_installed_module_lacks_is_not_taken_for_the_module(tmp_path, monkeypatch):
    (tmp_path / "installed_package.py").write_text("import missing_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="missing_package"):
        require("installed_package", "claims", "this test")
    assert "installed_package" not in sys.modules
