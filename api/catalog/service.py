"""The catalog of kdcore, as answers."""

from dataclasses import asdict

from api.catalog.schemas import ArchitectureRead, LimitsRead, MethodRead, NeedsRead, PaperRead
from api.schemas import ListOf
from kdcore.catalog.architectures import architectures
from kdcore.catalog.methods import methods
from kdcore.catalog.papers import Paper


def list_architectures() -> ListOf[ArchitectureRead]:
    """List every architecture that can be built."""
    items = [
        ArchitectureRead(
            name=entry.name,
            names=list(entry.names),
            title=entry.title,
            summary=entry.summary,
            paper=_paper(entry.paper) if entry.paper else None,
            json_schema=entry.json_schema(),
            limits=LimitsRead.model_validate(asdict(entry.limits)),
        )
        for entry in architectures()
    ]
    return ListOf[ArchitectureRead](items=items, next_cursor=None)


def list_methods() -> ListOf[MethodRead]:
    """List every method that a job can name."""
    items = [
        MethodRead(
            name=entry.name,
            title=entry.title,
            summary=entry.summary,
            formula=entry.formula,
            paper=_paper(entry.paper),
            json_schema=entry.json_schema(),
            needs=NeedsRead.model_validate(asdict(entry.needs)),
            stages=list(entry.stages),
            stage_optimizers={
                stage: optimizer.model_dump(mode="json")
                for stage, optimizer in entry.stage_optimizers.items()
            },
        )
        for entry in methods()
    ]
    return ListOf[MethodRead](items=items, next_cursor=None)


def _paper(paper: Paper) -> PaperRead:
    return PaperRead.model_validate(asdict(paper))
