"""What goes wrong, how it is put right again, and how the attempts of the job then end."""

import contextlib
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from typing import ClassVar

import psutil
from pydantic import SecretStr

from kdstore.queue import TRAIN_JOB, make_celery, publish
from kdstore.settings import Settings
from tests.faults.phases import Phase
from tests.faults.programs import is_gone, send
from tests.faults.site import LEASE_SECONDS, Site, Worker
from tests.faults.waiting import wait_until

Causes = tuple[str, ...]


class Strike(ABC):
    """One fault. `hit` while the phase is held, `mend` after it was let go."""

    name: ClassVar[str]

    def __init__(self, site: Site, worker: Worker) -> None:
        self.site = site
        self.worker = worker

    @abstractmethod
    def hit(self, job_id: str) -> None:
        """Let it go wrong."""

    def mend(self, job_id: str) -> None:  # noqa: B027  # some faults are over at once
        """Put it right."""

    def causes(self, phase: Phase) -> AbstractSet[Causes]:
        """Give how the attempts up to the first end or pause may have ended."""
        return {_undisturbed(phase)}


class KillTrainer(Strike):
    """SIGKILL to every trainer of the worker: the one at work, and the spare one."""

    name = "SIGKILL to the trainer"

    def hit(self, job_id: str) -> None:
        killed = self.victims()
        send(killed, signal.SIGKILL)
        wait_until(lambda: all(map(is_gone, killed)), "the killed processes are gone")

    def victims(self) -> list[psutil.Process]:
        return self.worker.trainers()

    def causes(self, phase: Phase) -> AbstractSet[Causes]:
        if not phase.has_child:
            return {_undisturbed(phase)}
        if phase.ends == "cancelled":
            return {("killed",), _undisturbed(phase)}
        if phase.name == "pause":
            return {("killed", "finished"), _undisturbed(phase)}
        return {("killed", "finished")}


class KillForkServer(KillTrainer):
    """SIGKILL to the fork server of the worker, and to every trainer."""

    name = "SIGKILL to the fork server"

    def victims(self) -> list[psutil.Process]:
        return self.worker.children()


class KillWorker(Strike):
    """SIGKILL to the worker; another one is started afterwards."""

    name = "SIGKILL to the worker"

    def hit(self, job_id: str) -> None:
        children = self.worker.children()
        self.site.remove_worker(self.worker)
        # The phase may have frozen one that was just being loaded, and had not asked the kernel to
        # end it with its parent: it sees the end of its pipe.
        send(children, signal.SIGCONT)
        wait_until(lambda: all(map(is_gone, children)), "the orphaned children are gone")

    def mend(self, job_id: str) -> None:
        self.site.start_worker()

    def causes(self, phase: Phase) -> AbstractSet[Causes]:
        return {_lost(phase)}


class FreezeWorker(Strike):
    """SIGSTOP to the worker until another one has done its job, then SIGCONT."""

    name = "SIGSTOP past the lease"

    def __init__(self, site: Site, worker: Worker) -> None:
        super().__init__(site, worker)
        self._children: list[psutil.Process] = []
        self._is_owner = False

    def hit(self, job_id: str) -> None:
        self._children = self.worker.children()
        self._is_owner = self.site.status(job_id) in {"running", "pausing", "cancelling"}
        self.worker.send(signal.SIGSTOP)
        self.site.start_worker()
        self.site.wait_until_settled(job_id)

    def mend(self, job_id: str) -> None:
        self.worker.send(signal.SIGCONT)
        if self._is_owner:
            wait_until(lambda: self.worker.says("attempt lost"), "the zombie knows")
        self.site.remove_worker(self.worker)
        wait_until(lambda: all(map(is_gone, self._children)), "its children are gone")

    def causes(self, phase: Phase) -> AbstractSet[Causes]:
        return {_lost(phase)}


class StopWorker(Strike):
    """SIGTERM to the worker, as a deploy sends it; another one is started afterwards."""

    name = "SIGTERM to the worker"

    def hit(self, job_id: str) -> None:
        self.worker.send(signal.SIGTERM)

    def mend(self, job_id: str) -> None:
        children = self.worker.children()
        assert self.worker.wait() == 0
        assert all(map(is_gone, children))
        self.site.remove_worker(self.worker)
        self.site.start_worker()

    def causes(self, phase: Phase) -> AbstractSet[Causes]:
        handed_back = ("handed_back", "finished")
        if phase.name in {"claim", "preparing", "mid-step", "checkpoint write"}:
            return {handed_back}
        # It may have taken the message already; and what is nearly done may be done first.
        if phase.name in {"queued", "evaluation", "export"}:
            return {handed_back, ("finished",)}
        if phase.name == "pause":  # it may not have heard of the pause yet
            return {handed_back, _undisturbed(phase)}
        if phase.ends == "cancelled":
            return {("handed_back",), _undisturbed(phase)}
        return {_undisturbed(phase)}


class EmptyBroker(Strike):
    """Redis killed, and started again with nothing in it."""

    name = "Redis restarted empty"

    def hit(self, job_id: str) -> None:
        redis = self.site.backends.redis
        redis.kill()
        redis.wipe()
        redis.start()


class NoBroker(Strike):
    """Redis stopped until the job has ended."""

    name = "Redis away to the end"

    def hit(self, job_id: str) -> None:
        self.site.backends.redis.stop()

    def mend(self, job_id: str) -> None:
        self.site.wait_until_settled(job_id)
        self.site.backends.redis.start()


class ManyMessages(Strike):
    """The job's message comes three times more, and again after the job has ended."""

    name = "message again and late"

    def hit(self, job_id: str) -> None:
        settings = Settings(broker_url=SecretStr(self.site.backends.redis.url))
        with contextlib.closing(make_celery(settings)) as app:
            for _ in range(3):
                publish(app, TRAIN_JOB, job_id)

    def mend(self, job_id: str) -> None:
        self.site.wait_until_settled(job_id)
        num_attempts = len(self.site.book.exit_causes(job_id))
        self.hit(job_id)
        settled = self.worker.log.read_text().count("nothing to claim")
        wait_until(
            lambda: self.worker.log.read_text().count("nothing to claim") > settled,
            "a late message was taken",
        )
        assert len(self.site.book.exit_causes(job_id)) == num_attempts


class RestartPostgres(Strike):
    """PostgreSQL stopped in its fast mode and started again; the API says 503 meanwhile."""

    name = "PostgreSQL restarted"

    def hit(self, job_id: str) -> None:
        self.down()
        answer = self.site.http.get(f"jobs/{job_id}")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        self.while_away()
        self.site.backends.postgres.start()
        wait_until(self.site.answers, "the API has recovered")

    def down(self) -> None:
        self.site.backends.postgres.stop()

    def while_away(self) -> None:
        """Do not wait."""


class CrashPostgres(RestartPostgres):
    """PostgreSQL killed: it recovers from its log."""

    name = "PostgreSQL killed"

    def down(self) -> None:
        self.site.backends.postgres.kill()


class LosePostgres(RestartPostgres):
    """PostgreSQL away for longer than a lease, which then counts for nothing."""

    name = "PostgreSQL away past the lease"

    def while_away(self) -> None:
        time.sleep(LEASE_SECONDS + 2.0)


class LoseStorage(Strike):
    """Object storage killed, and started again a moment later."""

    name = "S3 killed, restarted"

    def hit(self, job_id: str) -> None:
        self.site.backends.s3.kill()

    def mend(self, job_id: str) -> None:
        time.sleep(1.0)
        self.site.backends.s3.start()


class SlowStorage(Strike):
    """No byte passes between worker and storage for longer than a lease."""

    name = "S3 silent past the lease"

    def hit(self, job_id: str) -> None:
        self.worker.objects.stall()

    def mend(self, job_id: str) -> None:
        time.sleep(LEASE_SECONDS + 1.0)
        self.worker.objects.flow()


def _undisturbed(phase: Phase) -> Causes:
    return {"cancel": ("cancelled",), "pause": ("paused", "finished")}.get(
        phase.name, ("finished",)
    )


def _lost(phase: Phase) -> Causes:
    if phase.ends == "cancelled":
        return ("lost",)
    return ("lost", "finished") if phase.is_owned else ("finished",)


STRIKES: tuple[type[Strike], ...] = (
    KillTrainer,
    KillForkServer,
    KillWorker,
    FreezeWorker,
    StopWorker,
    EmptyBroker,
    NoBroker,
    ManyMessages,
    RestartPostgres,
    CrashPostgres,
    LosePostgres,
    LoseStorage,
    SlowStorage,
)
