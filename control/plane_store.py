"""Which store the plane of a state directory uses: chosen once by `biplane up`, then the same for all its processes."""

from __future__ import annotations

import os

from control.kernel.database import for_plane, shown
from control.kernel.home import STORE_PASSWORD_VARIABLE, Home, write_atomically
from control.kernel.recover import processes_of
from control.kernel.store import Store
from control.preflight import Refused


def open_store(home: Home, url: str | None) -> Store:
    """The plane's store; `url` is kept for its processes once it can be opened, None means what was kept last.

    Raises StoreError when it cannot be used, Refused when processes of the plane still use another one.
    """
    if url is None:
        return Store(home.store_url)
    url = for_plane(url, os.environ.get(STORE_PASSWORD_VARIABLE))
    before = shown(home.store_url)
    if shown(url) != before and processes_of(home.plane_id):
        raise Refused(f"the plane runs on the store {before}; end it before it uses {shown(url)}: biplane down")
    store = Store(url)
    write_atomically(home.store_file, url + "\n", mode=0o600)
    return store
