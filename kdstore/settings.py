"""The one place where the environment is read: every setting of api and worker."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE


class Settings(BaseSettings):
    """Settings, each from `POTSTILL_<NAME>` or its default; URLs never show in repr or logs.

    A URL left empty means the embedded default under `data_dir`: SQLite, a broker of plain
    files, a folder of objects. Read a URL with the property of the same purpose
    (`database`, `broker`, `objects`), which fills in that default.
    """

    model_config = SettingsConfigDict(
        env_prefix="POTSTILL_", env_file=None, frozen=True, extra="ignore"
    )

    environment: Literal["production", "development", "test"] = Field(
        "production", description="What this installation is for; shown by health checks."
    )
    data_dir: Path = Field(
        Path("potstill-data"), description="Where the embedded defaults keep everything."
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL: postgresql+psycopg://… or sqlite:///…"
    )
    broker_url: SecretStr = Field(
        SecretStr(""), description="Celery broker: redis://…, amqp://…, or filesystem://<folder>"
    )
    objects_url: SecretStr = Field(
        SecretStr(""), description="Object storage: file://<folder>, s3://<bucket>/<prefix>, …"
    )
    signed_links: bool = Field(
        True,
        description="Whether clients move the bytes of uploads and downloads at object storage "
        "itself, by signed links, where it can sign (S3, GCS, Azure).",
    )
    objects_public_endpoint: str = Field(
        "",
        description="How clients reach S3 storage, if not by the endpoint that this service uses: "
        "https://s3.example.org",
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port of the API; 0 takes a free one.")
    public_url: str = Field(
        "", description="How clients reach the API; http://<host>:<port> if empty."
    )
    device: str = Field("auto", description="Where training runs: auto, cpu, cuda, cuda:1.")
    training_threads: int = Field(
        0,
        ge=0,
        description="CPU threads of a training process; 0 takes the cores that the worker may "
        "use: of its mask, or of its quota.",
    )
    training_memory_bytes: int = Field(
        0,
        ge=0,
        description="Memory that a job's training may take on CPU beyond torch itself, in equal "
        "parts for its processes; 0 sets no limit. A job that needs more fails as out_of_memory, "
        "and its neighbours live.",
    )
    input_cache_bytes: PositiveInt = Field(
        32 * GIBIBYTE,
        description="Of datasets and models that the workers of a machine keep for the next job; "
        "beside them each job keeps what it uses.",
    )
    max_dataset_bytes: PositiveInt = Field(
        64 * GIBIBYTE,
        description="Largest dataset taken, as pixels, and unpacked from its zip. A worker needs "
        "as much disk besides while it reads one.",
    )
    lease_seconds: PositiveFloat = Field(
        30.0, description="How long a worker may be silent before its job is given to another."
    )
    heartbeat_seconds: PositiveFloat = Field(5.0, description="Between two heartbeats.")
    sweep_seconds: PositiveFloat = Field(5.0, description="Between two sweeps for lost work.")
    republish_seconds: PositiveFloat = Field(
        60.0, description="How long a queued job waits before its message is sent again."
    )
    retry_seconds: PositiveFloat = Field(
        15.0,
        description="How long a job waits that failed by no fault of its own before it is tried "
        "again; doubled by each failure. A worker that may be at fault itself waits longer.",
    )
    checkpoint_every_seconds: PositiveFloat = Field(
        20.0,
        description="Between two checkpoints while training; a job may ask for more, by epoch.",
    )
    stop_grace_seconds: PositiveFloat = Field(
        20.0,
        description="From the request to stop until a training process is killed; its worker then "
        "has as long again to store a checkpoint, and some seconds to hand the job back.",
    )
    part_size_bytes: PositiveInt = Field(8 * MEBIBYTE, description="Of each part of an upload.")
    max_upload_bytes: PositiveInt = Field(16 * GIBIBYTE, description="Largest upload taken.")
    upload_memory_bytes: PositiveInt = Field(
        96 * MEBIBYTE,
        description="What parts of uploads on their way through an API process may take. More of "
        "them wait; those that go to storage by signed links take none.",
    )
    upload_expiry_seconds: PositiveInt = Field(
        24 * 3600, description="How long an unfinished upload is kept."
    )
    idempotency_seconds: PositiveInt = Field(
        24 * 3600, description="How long the answer to an Idempotency-Key is kept."
    )
    keep_checkpoints_seconds: int = Field(
        0,
        ge=0,
        description="How long the checkpoints of a job that failed, was cancelled or is paused are "
        "kept; without them it starts anew. 0 keeps them for ever, here and below.",
    )
    keep_artifacts_seconds: int = Field(
        0, ge=0, description="How long the files of an ended job are kept."
    )
    keep_history_seconds: int = Field(
        0, ge=0, description="How long events, metrics and log of an ended job are kept."
    )
    keep_jobs_seconds: int = Field(
        0, ge=0, description="How long an ended job is kept, with all that belongs to it."
    )
    keep_unused_uploads_seconds: int = Field(
        0, ge=0, description="How long an upload is kept that no model or dataset was made of."
    )
    collect_every_seconds: PositiveInt = Field(
        6 * 3600, description="Between two looks for what is to be kept no longer, and for orphans."
    )
    orphan_grace_seconds: int = Field(
        7 * 24 * 3600,
        ge=0,
        description="How old an object that nothing refers to must be to be condemned, and how "
        "long it is kept then. A backup must not take longer.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""), description="What /metrics of the API asks for as bearer; empty: nothing."
    )
    metrics_host: str = Field("127.0.0.1", description="Address of a worker's metrics.")
    metrics_port: int = Field(
        0, ge=0, le=65_535, description="Port of a worker's metrics; 0 serves none."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="Lines of JSON for machines, or text for people."
    )

    @model_validator(mode="after")
    def _check_heartbeat(self) -> Self:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError(
                "POTSTILL_LEASE_SECONDS must be at least twice POTSTILL_HEARTBEAT_SECONDS, or one "
                "late heartbeat loses the job."
            )
        return self

    @property
    def database(self) -> str:
        """The database's URL with its password: never log it."""
        path = self.data_dir.absolute() / "potstill.sqlite3"
        return self.database_url.get_secret_value() or f"sqlite:///{path}"

    @property
    def broker(self) -> str:
        """The broker's URL with its password: never log it."""
        return (
            self.broker_url.get_secret_value() or f"filesystem://{self.data_dir.absolute()}/queue"
        )

    @property
    def objects(self) -> str:
        """The URL of object storage with its credentials: never log it."""
        return self.objects_url.get_secret_value() or f"file://{self.data_dir.absolute()}/objects"

    @property
    def address(self) -> str:
        """The URL that clients use, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
