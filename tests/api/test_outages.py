"""PostgreSQL, Redis and S3 go away and come back: 503 with Retry-After, then all is well again."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.servers import PostgresServer, RedisServer, S3Server
from kdstore.settings import Settings

Client = Any  # a class of conftest.py, which tests cannot import
Rows = Any

_JOB = {"kind": "train", "dataset": "", "network": {"architecture": "mlp", "hidden": [8]}}

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_api_says_that_the_database_is_away_and_recovers_by_itself(
    client: Client, rows: Rows, postgres_server: PostgresServer, how: str
) -> None:
    job_id = rows.job()
    assert client.get(f"/v1/jobs/{job_id}").status_code == 200
    getattr(postgres_server, how)()
    for answer in (client.get(f"/v1/jobs/{job_id}"), client.post("/v1/jobs", json=_JOB)):
        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "database_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200
    postgres_server.start()
    assert client.get(f"/v1/jobs/{job_id}").json()["id"] == job_id


class TestBroker:
    @pytest.fixture
    def settings(self, settings: Settings, redis_server: RedisServer) -> Settings:
        return settings.model_copy(update={"broker_url": SecretStr(redis_server.url)})

    def test_job_is_taken_while_the_broker_is_away(
        self, client: Client, rows: Rows, redis_server: RedisServer
    ) -> None:
        spec = _JOB | {"dataset": rows.ready_dataset()}
        redis_server.stop()
        answer = client.post("/v1/jobs", json=spec)
        assert answer.status_code == 201
        assert answer.json()["status"] == "queued"
        down = client.get("/readyz")
        assert [item["code"] for item in down.json()["errors"]] == ["broker_down"]
        redis_server.start()
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.post("/v1/jobs", json=spec).status_code == 201


@pytest.mark.xdist_group("s3")
class TestStorage:
    @pytest.fixture
    def settings(
        self, settings: Settings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> Settings:
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)
        url = s3_server.environment["POTSTILL_OBJECTS_URL"]
        return settings.model_copy(update={"objects_url": SecretStr(url)})

    @pytest.mark.faults
    def test_others_are_served_while_many_wait_for_storage_that_is_silent(
        self, client: Client, rows: Rows, s3_server: S3Server
    ) -> None:
        job_id = rows.job()
        rows.finish(rows.claim(job_id), files={"network.onnx": b"data"})
        address = f"/v1/jobs/{job_id}/artifacts/network.onnx?direct=false"
        assert client.get(address).content == b"data"
        s3_server.freeze()
        with ThreadPoolExecutor(50) as pool:
            downloads = [pool.submit(client.get, address) for _ in range(50)]
            time.sleep(1.0)  # as many as can have begun to wait
            answers = [client.get(path) for path in ("/v1/jobs", f"/v1/jobs/{job_id}/events")]
            were_waiting = not any(download.done() for download in downloads)
            s3_server.thaw()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert were_waiting
        assert {download.result().status_code for download in downloads} == {200}

    def test_api_says_that_storage_is_away_and_recovers_by_itself(
        self, client: Client, s3_server: S3Server
    ) -> None:
        document = {"purpose": "checkpoint", "filename": "weights", "size_bytes": 4}
        upload = client.post("/v1/uploads", json=document).json()
        address = f"/v1/uploads/{upload['id']}/parts/1"
        s3_server.stop()
        answer = client.put(address, content=b"four")
        assert answer.status_code == 503
        assert answer.json()["code"] == "storage_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        s3_server.start()
        assert client.put(address, content=b"four").is_success
        done = client.post(f"/v1/uploads/{upload['id']}/complete")
        assert done.json()["status"] == "stored"
