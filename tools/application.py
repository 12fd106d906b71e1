"""A web application's page, a project's: five reads, and the review of a page now and then. By asyncpg and by SQLAlchemy,
as FastAPI applications use them: a connection of the pool, or a session, for each request."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import declarative_base

CONNECTIONS = 2
READS = 5  # a page

Rows = list[tuple[Any, ...]]


class Application(Protocol):
    async def load(self, project: int) -> Rows:
        """All that the page shows, in an order that is the same each time."""

    async def review(self, project: int) -> None:
        """Changes the state of one of the project's pages."""


PROJECT = "SELECT id, user_id, name, status, created_at FROM projects WHERE id = $1"
OWNER = "SELECT id, email, full_name, current_plan, last_login FROM users WHERE id = $1"
NEWEST = """SELECT pp.id, pp.review_status, pp.tags, p.title, p.url, p.quality_score, d.domain_name
  FROM project_pages pp JOIN pages_v2 p ON p.id = pp.page_id LEFT JOIN domains d ON d.id = pp.domain_id
  WHERE pp.project_id = $1 ORDER BY pp.added_at DESC, pp.id LIMIT 20"""
REVIEWS = """SELECT review_status, count(*), count(*) FILTER (WHERE is_starred) FROM project_pages
  WHERE project_id = $1 GROUP BY review_status ORDER BY review_status"""
DOMAINS = """SELECT status, count(*), sum(scraped_pages), max(success_rate) FROM domains
  WHERE project_id = $1 GROUP BY status ORDER BY status"""
OLDEST = "SELECT id, review_status FROM project_pages WHERE project_id = $1 ORDER BY added_at, id LIMIT 1 FOR UPDATE"
REVIEW = "UPDATE project_pages SET review_status = $2, reviewed_at = now() WHERE id = $1"


def next_status(status: str) -> str:
    return "irrelevant" if status == "relevant" else "relevant"


class Asyncpg:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def load(self, project: int) -> Rows:
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(PROJECT, project)
            rows += await connection.fetch(OWNER, rows[0]["user_id"])
            for query in (NEWEST, REVIEWS, DOMAINS):
                rows += await connection.fetch(query, project)
            return [tuple(row) for row in rows]

    async def review(self, project: int) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            page = await connection.fetchrow(OLDEST, project)
            await connection.execute(REVIEW, page["id"], next_status(page["review_status"]))


@asynccontextmanager
async def by_asyncpg(dsn: str) -> AsyncIterator[Application]:
    async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        yield Asyncpg(pool)


Base: Any = declarative_base()


class User(Base):
    __tablename__ = "users"
    id = sa.Column(sa.Integer, primary_key=True)
    email = sa.Column(sa.String)
    full_name = sa.Column(sa.String)
    current_plan = sa.Column(sa.String)
    last_login = sa.Column(sa.DateTime(timezone=True))


class Project(Base):
    __tablename__ = "projects"
    id = sa.Column(sa.Integer, primary_key=True)
    user_id = sa.Column(sa.ForeignKey("users.id"))
    name = sa.Column(sa.String)
    status = sa.Column(sa.String)
    created_at = sa.Column(sa.DateTime(timezone=True))


class Domain(Base):
    __tablename__ = "domains"
    id = sa.Column(sa.Integer, primary_key=True)
    project_id = sa.Column(sa.ForeignKey("projects.id"))
    domain_name = sa.Column(sa.String)
    status = sa.Column(sa.String)
    scraped_pages = sa.Column(sa.Integer)
    success_rate = sa.Column(sa.Float)


class Page(Base):
    __tablename__ = "pages_v2"
    id = sa.Column(UUID(as_uuid=True), primary_key=True)
    url = sa.Column(sa.Text)
    title = sa.Column(sa.Text)
    quality_score = sa.Column(sa.Numeric(3, 2))


class ProjectPage(Base):
    __tablename__ = "project_pages"
    id = sa.Column(sa.Integer, primary_key=True)
    project_id = sa.Column(sa.ForeignKey("projects.id"))
    page_id = sa.Column(sa.ForeignKey("pages_v2.id"))
    domain_id = sa.Column(sa.ForeignKey("domains.id"))
    review_status = sa.Column(sa.String)
    tags = sa.Column(sa.ARRAY(sa.Text))
    is_starred = sa.Column(sa.Boolean)
    added_at = sa.Column(sa.DateTime(timezone=True))
    reviewed_at = sa.Column(sa.DateTime(timezone=True))


class SQLAlchemy:
    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def load(self, project: int) -> Rows:
        async with AsyncSession(self._engine) as session, session.begin():
            shown = await session.get(Project, project)
            owner = await session.get(User, shown.user_id)
            rows = [
                (shown.id, shown.user_id, shown.name, shown.status, shown.created_at),
                (owner.id, owner.email, owner.full_name, owner.current_plan, owner.last_login),
            ]
            for query in self._queries(project):
                rows += [tuple(row) for row in (await session.execute(query)).all()]
            return rows

    @staticmethod
    def _queries(project: int) -> list[Any]:
        entry, count = ProjectPage, sa.func.count
        newest = sa.select(entry.id, entry.review_status, entry.tags, Page.title, Page.url, Page.quality_score, Domain.domain_name)
        return [
            newest.join(Page, Page.id == entry.page_id).outerjoin(Domain, Domain.id == entry.domain_id)
            .where(entry.project_id == project).order_by(entry.added_at.desc(), entry.id).limit(20),
            sa.select(entry.review_status, count(), count().filter(entry.is_starred))
            .where(entry.project_id == project).group_by(entry.review_status).order_by(entry.review_status),
            sa.select(Domain.status, count(), sa.func.sum(Domain.scraped_pages), sa.func.max(Domain.success_rate))
            .where(Domain.project_id == project).group_by(Domain.status).order_by(Domain.status),
        ]  # fmt: skip

    async def review(self, project: int) -> None:
        oldest = sa.select(ProjectPage).where(ProjectPage.project_id == project)
        oldest = oldest.order_by(ProjectPage.added_at, ProjectPage.id).limit(1).with_for_update()
        async with AsyncSession(self._engine) as session, session.begin():
            page = (await session.execute(oldest)).scalar_one()
            page.review_status = next_status(page.review_status)
            page.reviewed_at = sa.func.now()


@asynccontextmanager
async def by_sqlalchemy(dsn: str) -> AsyncIterator[Application]:
    url = dsn.replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0)
    try:
        yield SQLAlchemy(engine)
    finally:
        await engine.dispose()


DRIVERS: dict[str, Callable[[str], AbstractAsyncContextManager[Application]]] = {
    "asyncpg's pool": by_asyncpg,
    "SQLAlchemy on asyncpg": by_sqlalchemy,
}
