import asyncio
import os

import sqlalchemy as sa
from script import run, section, show
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import declarative_base, relationship, selectinload

Base = declarative_base()


class Author(Base):
    __tablename__ = "author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(50), nullable=False, unique=True)
    facts = sa.Column(postgresql.JSONB)
    tags = sa.Column(postgresql.ARRAY(sa.Text))
    books = relationship("Book", order_by="Book.id")


class Book(Base):
    __tablename__ = "book"
    id = sa.Column(sa.Integer, primary_key=True)
    author_id = sa.Column(sa.ForeignKey("author.id"), nullable=False)
    title = sa.Column(sa.Text)
    price = sa.Column(sa.Numeric(10, 2))


async def attempt(awaitable):
    try:
        show(await awaitable)
    except sa.exc.DBAPIError as error:
        show(type(error).__name__, error.orig.sqlstate, str(error.orig))


@section
async def tables(engine):
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        show(sorted(await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())))


@section
async def units_of_work(engine):
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add_all([Author(name=f"author {n}", facts={"n": n}, tags=["a", "b c"],
                                books=[Book(title=f"book {m}", price=m) for m in range(n)]) for n in range(4)])  # fmt: skip
        await session.commit()
        authors = await session.execute(sa.select(Author).options(selectinload(Author.books)).order_by(Author.id))
        for author in authors.scalars():
            show(author.name, author.facts, author.tags, [(book.title, book.price) for book in author.books])
        session.add(Author(name="author 0"))
        await attempt(session.commit())
        await session.rollback()
        async with session.begin():
            async with session.begin_nested() as nested:
                session.add(Author(name="in a savepoint"))
                await session.flush()
                await nested.rollback()
        show((await session.execute(sa.select(sa.func.count(Author.id)))).scalar())


@section
async def statements(engine):
    async with engine.begin() as connection:
        await connection.execute(Book.__table__.insert(), [{"author_id": 1, "title": f"bulk {n}", "price": n} for n in range(300)])
        show((await connection.execute(sa.select(sa.func.count()).select_from(Book))).scalar())
        for n in range(130):  # more than the driver's cache holds
            assert (await connection.execute(sa.text(f"SELECT {n} + :n"), {"n": 1})).scalar() == n + 1
        result = await connection.stream(sa.select(Book.id).order_by(Book.id))
        show(sum([row[0] async for row in result]))


@section
async def changed_tables(engine):
    async with engine.connect() as connection:
        await connection.execute(sa.text("CREATE TABLE changing (a int)"))
        await connection.commit()
        show((await connection.execute(sa.text("SELECT * FROM changing"))).fetchall())
        await connection.commit()
        await connection.execute(sa.text("ALTER TABLE changing ADD b int"))
        await connection.commit()
        await attempt(connection.execute(sa.text("SELECT * FROM changing")))
        await connection.rollback()
        show((await connection.execute(sa.text("SELECT * FROM changing"))).keys())


@section
async def errors(engine):
    async with engine.connect() as connection:
        for sql in ("SELECT 1/0", "SELECT 1", "SELEC", "SELECT * FROM missing"):
            await attempt(connection.execute(sa.text(sql)))
        await connection.rollback()


@section
async def the_pool(engine):
    async def ask(n):
        async with engine.connect() as connection:
            return (await connection.execute(sa.text("SELECT CAST(:n AS int)"), {"n": n})).scalar()

    show(await asyncio.gather(*(ask(n) for n in range(30))))


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
address = "{PGUSER}:{PGPASSWORD}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**os.environ)
engine = create_async_engine(f"postgresql+asyncpg://{address}", pool_size=3, max_overflow=2)
run(engine)
loop.run_until_complete(engine.dispose())
