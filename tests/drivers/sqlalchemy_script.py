import threading

import sqlalchemy as sa
from script import run, section, show
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, declarative_base, relationship

Base = declarative_base()


class Author(Base):
    __tablename__ = "author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(50), nullable=False, unique=True)
    facts = sa.Column(postgresql.JSONB)
    tags = sa.Column(postgresql.ARRAY(sa.Text))
    books = relationship("Book", back_populates="author", order_by="Book.id", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id = sa.Column(sa.Integer, primary_key=True)
    author_id = sa.Column(sa.ForeignKey("author.id"), nullable=False)
    title = sa.Column(sa.Text)
    price = sa.Column(sa.Numeric(10, 2))
    author = relationship("Author", back_populates="books")


def attempt(function):
    try:
        show(function())
    except sa.exc.DBAPIError as error:
        show(type(error).__name__, error.orig.diag.sqlstate, error.orig.diag.message_primary)


@section
def tables(engine):
    Base.metadata.create_all(engine)
    inspector = sa.inspect(engine)
    show(sorted(inspector.get_table_names()))
    show([(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns("author")])
    show(inspector.get_foreign_keys("book"), inspector.get_unique_constraints("author"), inspector.get_pk_constraint("book"))


@section
def units_of_work(engine):
    with Session(engine) as session:
        session.add_all([Author(name=f"author {n}", facts={"n": n, "ü": [1, None]}, tags=["a", "b c"],
                                books=[Book(title=f"book {m}", price=m) for m in range(n)]) for n in range(4)])  # fmt: skip
        session.commit()
        for author in session.query(Author).order_by(Author.id):
            show(author.name, author.facts, author.tags, [(book.title, book.price) for book in author.books])
        author = session.get(Author, 3)
        author.books[0].title = "changed"
        session.delete(session.get(Author, 2))
        session.commit()
        show(session.query(sa.func.count(Book.id), sa.func.sum(Book.price)).one())
        session.add(Author(name="author 0"))
        attempt(session.commit)
        session.rollback()
        with session.begin_nested() as nested:
            session.add(Author(name="in a savepoint"))
            session.flush()
            nested.rollback()
        show(session.query(Author).count())
        show(session.query(Author).filter(Author.tags.any("a")).order_by(Author.id).with_for_update().first().name)


@section
def statements(engine):
    author, book = Author.__table__, Book.__table__
    with engine.begin() as connection:
        many = [{"author_id": 1, "title": f"bulk {n}", "price": n} for n in range(500)]
        connection.execute(book.insert(), many)
        show(connection.execute(sa.select(sa.func.count()).select_from(book)).scalar())
        upsert = postgresql.insert(author).values(name="author 0", facts={}).on_conflict_do_update(
            index_elements=["name"], set_={"facts": {"upserted": True}}).returning(author.c.id, author.c.facts)  # fmt: skip
        show(connection.execute(upsert).fetchall())
        show(connection.execute(book.update().where(book.c.title.like("bulk 1%")).values(price=book.c.price + 1)).rowcount)
        window = sa.select(book.c.title, sa.func.row_number().over(order_by=book.c.id)).where(book.c.id < 6)
        show(connection.execute(window).fetchall())
        show(connection.execute(sa.text("SELECT :a + :b"), {"a": 1, "b": 2}).scalar())


@section
def streams(engine):
    with engine.connect().execution_options(stream_results=True, yield_per=50) as connection:
        result = connection.execute(sa.text("SELECT n FROM generate_series(1, 1000) n"))
        show(sum(len(part) for part in result.partitions()))


@section
def isolation(engine):
    for level in ("SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"):
        with engine.connect().execution_options(isolation_level=level) as connection:
            show(level, connection.execute(sa.text("SHOW transaction_isolation")).scalar())


@section
def errors(engine):
    with engine.connect() as connection:
        for sql in ("SELECT 1/0", "SELECT 1", "SELEC", "SELECT * FROM missing"):
            attempt(lambda: connection.execute(sa.text(sql)).fetchall())
        connection.rollback()


@section
def two_phases(engine):
    with engine.connect() as connection:
        transaction = connection.begin_twophase("global")
        connection.execute(sa.text("INSERT INTO item (name) VALUES ('two phases')"))
        transaction.prepare()
        transaction.commit()
        show(connection.execute(sa.text("SELECT count(*) FROM item")).scalar())


@section
def the_pool(engine):
    answers = []

    def ask(n):
        with engine.connect() as connection:
            answers.append(connection.execute(sa.text("SELECT :n"), {"n": n}).scalar() == n)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    show(answers)


engine = sa.create_engine("postgresql+psycopg2://", pool_size=3, max_overflow=2, pool_pre_ping=True, future=True)
run(engine)
engine.dispose()
