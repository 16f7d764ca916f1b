"""The explorer as a page: Voila serves it on this machine alone, with one kernel per visitor and no code to run."""

import json
import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import InputError
from ..files import NOTEBOOKS

HOST = "127.0.0.1"
PORT, TRIES = 8866, 20
NOTEBOOK = NOTEBOOKS / "explorer.ipynb"
PAGE = Path(__file__).parent / "page"
IDLE = 900  # seconds after which a kernel whose visitor has gone is ended, if leaving the page did not


def serve(port: int | None = None, browser: bool = True) -> None:
    """Serve until interrupted, on `port` or on the first free one from PORT on; the page names a port that was taken.

    Raises InputError where the port is taken or Voila is not installed.
    """
    if not NOTEBOOK.exists():
        raise InputError(f"{NOTEBOOK} is missing: the page works in a checkout of edgecache")
    chosen, note = _port(port)
    try:
        from tornado.ioloop import IOLoop
        from traitlets.config import Config
        from voila.app import Voila
    except ImportError:
        raise InputError("the page needs Voila: pip install 'edgecache[app]'") from None
    # Voila finds its template there, and a kernelspec of the user's cannot hijack the page
    os.environ |= {"JUPYTER_PATH": str(PAGE), "JUPYTER_PREFER_ENV_PATH": "1", "TQDM_DISABLE": "1"}
    config = Config(
        {
            "Voila": {
                "ip": HOST,
                "port": chosen,
                "port_retries": 0,
                "open_browser": browser,
                "log_level": "ERROR",
                "config_file_paths": [],  # a configuration of the user's might open the page to others
                # leaving the page ends its kernel by a message without a token: a kernel's id is secret, and origins are checked
                "tornado_settings": {"allow_remote_access": False, "disable_check_xsrf": True},
            },
            "VoilaConfiguration": {
                "template": "edgecache",
                "allow_template_override": "NO",
                "allow_theme_override": "NO",
                "file_allowlist": [],
                "resources": {"note": note},
                "extension_allowlist": ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8"],
            },
            "MappingKernelManager": {"cull_idle_timeout": IDLE, "cull_interval": 60},
            "KernelManager": {"transport_encryption": "auto"},
        }
    )
    with TemporaryDirectory(prefix="edgecache-") as folder:
        page = Path(folder) / "explorer.ipynb"
        page.write_text(json.dumps(_page(json.loads(NOTEBOOK.read_text()))))
        app = Voila(config=config)
        app.initialize([str(page)])
        address = f"{note} The explorer is at http://{HOST}:{chosen}/ until Ctrl-C ends it.".strip()
        IOLoop.current().add_callback(print, address, flush=True)  # once it listens
        try:
            app.start()
        except SystemExit:
            raise InputError(f"port {chosen} was taken in this moment; try again") from None


def _port(wanted: int | None) -> tuple[int, str]:
    """A free port, and a sentence for the page where it is not the usual one."""
    if wanted is not None:
        if not 1 <= wanted <= 65535:
            raise InputError(f"--port is {wanted}; it must be from 1 to 65535")
        if not _free(wanted):
            raise InputError(f"port {wanted} is taken, by another explorer or another program; choose another --port, or none")
        return wanted, ""
    for port in range(PORT, PORT + TRIES):
        if _free(port):
            return (
                port,
                "" if port == PORT else f"Port {PORT} is taken, perhaps by another explorer, so this one is at port {port}.",
            )
    raise InputError(f"the ports {PORT} to {PORT + TRIES - 1} are all taken; choose one with --port")


def _free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except PermissionError:
            raise InputError(f"port {port} may not be used by you; choose one from 1024 on") from None
        except OSError:
            return False
    return True


def _page(notebook: dict) -> dict:
    """The notebook up to its cell that shows the explorer: what follows is a tour of it."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    last = next(place for place, cell in enumerate(code) if "explorer" in cell["metadata"].get("tags", []))
    return notebook | {"cells": code[: last + 1], "metadata": notebook["metadata"] | {"title": "edgecache explorer"}}
