"""Where one plane keeps its state: paths under BIPLANE_HOME, and the settings it was started with.

Everything durable is under this one directory. Only Ray's sockets and logs live elsewhere (`ray_directory`): the
paths of UNIX sockets must be short.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

HOME_VARIABLE = "BIPLANE_HOME"
STORE_VARIABLE, STORE_PASSWORD_VARIABLE = "BIPLANE_STORE", "BIPLANE_STORE_PASSWORD"
"""Read by `biplane up` alone, which writes them down: no process of the plane inherits them."""
SOCKETS = Path("/tmp")  # a UNIX socket's path has room for 97 characters, of which Ray and Serve fill 80
LOOPBACK = "127.0.0.1"
RAY_IP = "127.0.0.2"
"""The embedded head's address: loopback, but not 127.0.0.1, which Ray would replace by an outer interface's."""


@dataclass(frozen=True)
class Home:
    """The state directory of one plane."""

    path: Path

    @staticmethod
    def find() -> Home:
        """BIPLANE_HOME, or `biplane` in the user's state directory."""
        chosen = os.environ.get(HOME_VARIABLE)
        return Home(Path(chosen).absolute() if chosen else platformdirs.user_state_path("biplane"))

    @property
    def plane_id(self) -> str:
        """Marks the processes of this plane; the same for every plane started on this directory."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:10]

    @property
    def store_file(self) -> Path:
        """Where a store of another place than this directory is written down, with its password."""
        return self.path / "keys" / "store.url"

    @property
    def store_url(self) -> str:
        """With its password: for people, `database.shown` takes it out."""
        try:
            return self.store_file.read_text().strip()
        except FileNotFoundError:
            return f"sqlite:///{self.path / 'biplane.db'}"

    @property
    def settings_file(self) -> Path:
        return self.path / "plane.json"

    @property
    def api_key_file(self) -> Path:
        return self.path / "keys" / "admin.key"

    @property
    def internal_key_file(self) -> Path:
        return self.path / "keys" / "internal.key"

    @property
    def ray_token_file(self) -> Path:
        return self.path / "keys" / "ray.token"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to belong to this plane; Ray reads its part when it is imported, so set it before."""
        return {
            HOME_VARIABLE: str(self.path),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.ray_token_file),
        }

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def vectors(self) -> Path:
        """Logs and segments of the collections' shards, of each replica in a directory of its own."""
        return self.path / "vectors"

    @property
    def mlflow(self) -> Path:
        return self.path / "mlflow"

    @property
    def claims(self) -> Path:
        """Where processes lock the devices that they use; not in a temporary directory, which others sweep."""
        return self.path / "claims"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def devices(self) -> Path:
        """How the simulated devices are cut, and which of them are in trouble: one file a node."""
        return self.path / "devices"

    @property
    def decisions(self) -> Path:
        """The scheduler's last decisions, to be gone through again."""
        return self.logs / "decisions.jsonl.gz"

    @property
    def ray_directory(self) -> Path:
        return SOCKETS / f"bp-{self.plane_id}"

    @property
    def bells(self) -> Path:
        """Where the control loops of this machine can be woken."""
        return self.ray_directory / "bells"

    @property
    def haproxy_directory(self) -> Path:
        return SOCKETS / f"bp-{self.plane_id}h"


@dataclass(frozen=True)
class Settings:
    """What `biplane up` chose; read by every process of the plane. Ports are on the loopback interface.

    The last five are Ray's and HAProxy's inner doors, free ones, so that two planes on one machine do not meet.
    """

    cluster: str
    gateway_port: int
    dashboard_port: int
    mlflow_port: int
    ray_port: int
    agent_port: int
    client_port: int
    haproxy_metrics_port: int
    haproxy_stats_port: int
    serve_port: int

    @property
    def gateway_url(self) -> str:
        return f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def serve_url(self) -> str:
        """HAProxy's: the applications of Serve that have a route."""
        return f"http://{LOOPBACK}:{self.serve_port}"

    @property
    def dashboard_url(self) -> str:
        return f"http://{LOOPBACK}:{self.dashboard_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{LOOPBACK}:{self.mlflow_port}"

    @property
    def urls(self) -> dict[str, str]:
        """What a person may open or call."""
        return {
            "gateway": f"{self.gateway_url}/v1",
            "dashboard": self.dashboard_url,
            "mlflow": self.mlflow_url,
        }

    @property
    def ray_address(self) -> str:
        return f"{RAY_IP}:{self.ray_port}"

    @staticmethod
    def read(home: Home) -> Settings | None:
        """The settings of the plane at `home`; None when it was never started."""
        try:
            body: dict[str, Any] = json.loads(home.settings_file.read_text())
        except FileNotFoundError:
            return None
        return Settings(**body)

    def write(self, home: Home) -> None:
        write_atomically(home.settings_file, json.dumps(asdict(self), indent=2) + "\n")


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace the file at `path`: a reader sees the old text or the new, and a crash leaves one of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, mode)
    os.replace(temporary, path)
