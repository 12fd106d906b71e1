"""The sample database: a web-archiving application's users, projects, domains, sessions and pages.

Generated from a seed with the skew that such data has: a few users own most projects, a few domains most pages. The
same size and seed give the same rows, to the byte.
"""

import asyncio
import itertools
import json
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

VERSION = 1  # what generated the rows: another number makes the demo generate them again

SIZES = {"small": 1.0, "medium": 10.0, "large": 100.0}

# The newest moment in the data; a fixed one, or the same seed would not give the same rows.
NOW = datetime(2025, 6, 1, tzinfo=UTC)

SCHEMA = """
CREATE TABLE users (
  id serial PRIMARY KEY,
  email varchar(255) NOT NULL UNIQUE,
  full_name varchar(255),
  is_active boolean NOT NULL DEFAULT true,
  is_superuser boolean NOT NULL DEFAULT false,
  is_verified boolean NOT NULL DEFAULT false,
  current_plan varchar(20) NOT NULL DEFAULT 'free',
  login_count integer NOT NULL DEFAULT 0,
  risk_score double precision NOT NULL DEFAULT 0,
  last_login timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE projects (
  id serial PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users,
  name varchar(200) NOT NULL,
  description text,
  index_name varchar(100) UNIQUE,
  process_documents boolean NOT NULL DEFAULT true,
  config json,
  langextract_enabled boolean NOT NULL DEFAULT false,
  langextract_model varchar(100),
  archive_source varchar(30) NOT NULL DEFAULT 'wayback_machine',
  fallback_enabled boolean NOT NULL DEFAULT true,
  archive_config json,
  status varchar(20) NOT NULL DEFAULT 'no_index'
    CHECK (status IN ('no_index', 'indexing', 'indexed', 'error', 'paused')),
  is_active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE domains (
  id serial PRIMARY KEY,
  project_id integer NOT NULL REFERENCES projects,
  domain_name varchar(255) NOT NULL,
  match_type varchar(10) NOT NULL DEFAULT 'domain' CHECK (match_type IN ('exact', 'prefix', 'domain', 'regex')),
  url_path varchar(500),
  max_pages integer,
  active boolean NOT NULL DEFAULT true,
  status varchar(20) NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'completed', 'error')),
  from_date varchar(8),
  to_date varchar(8),
  total_pages integer NOT NULL DEFAULT 0,
  scraped_pages integer NOT NULL DEFAULT 0,
  failed_pages integer NOT NULL DEFAULT 0,
  pending_pages integer NOT NULL DEFAULT 0,
  duplicate_pages integer NOT NULL DEFAULT 0,
  success_rate double precision,
  known_gaps json,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE scrape_sessions (
  id serial PRIMARY KEY,
  project_id integer NOT NULL REFERENCES projects,
  session_name varchar(200) NOT NULL,
  status varchar(20) NOT NULL DEFAULT 'pending'
    CHECK (status IN ('pending', 'running', 'completed', 'cancelled', 'failed')),
  total_urls integer NOT NULL DEFAULT 0,
  completed_urls integer NOT NULL DEFAULT 0,
  failed_urls integer NOT NULL DEFAULT 0,
  cancelled_urls integer NOT NULL DEFAULT 0,
  error_message text,
  started_at timestamptz,
  completed_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pages_v2 (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  url text NOT NULL,
  unix_timestamp bigint NOT NULL,
  content_url text,
  content text,
  markdown_content text,
  extracted_data json,
  quality_score numeric(3,2),
  title text,
  extracted_title text,
  extracted_text text,
  meta_description text,
  meta_keywords text,
  author varchar(255),
  published_date timestamptz,
  language varchar(10),
  word_count integer,
  character_count integer,
  content_type varchar(100),
  content_length integer,
  mime_type varchar(100),
  status_code integer,
  capture_date timestamptz,
  content_hash varchar(64),
  processed boolean NOT NULL DEFAULT false,
  indexed boolean NOT NULL DEFAULT false,
  error_message text,
  retry_count integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE project_pages (
  id serial PRIMARY KEY,
  project_id integer NOT NULL,
  page_id uuid NOT NULL,
  domain_id integer,
  review_status varchar(20) NOT NULL DEFAULT 'pending'
    CHECK (review_status IN ('pending', 'relevant', 'irrelevant', 'needs_review', 'duplicate')),
  tags text[] NOT NULL DEFAULT '{}',
  is_starred boolean NOT NULL DEFAULT false,
  page_category varchar(30),
  priority_level varchar(10) NOT NULL DEFAULT 'medium',
  is_duplicate boolean NOT NULL DEFAULT false,
  added_at timestamptz NOT NULL DEFAULT now(),
  added_by integer,
  reviewed_by integer,
  reviewed_at timestamptz
);
"""

# After the rows are in, because it is faster then: (what the user is told, the statement).
AFTER_LOAD = (
    ("key of pages_v2", "ALTER TABLE pages_v2 ADD UNIQUE (url, unix_timestamp)"),
    ("key of project_pages", "ALTER TABLE project_pages ADD UNIQUE (project_id, page_id)"),
    (
        "foreign keys",
        "ALTER TABLE project_pages ADD FOREIGN KEY (project_id) REFERENCES projects,"
        " ADD FOREIGN KEY (page_id) REFERENCES pages_v2, ADD FOREIGN KEY (domain_id) REFERENCES domains,"
        " ADD FOREIGN KEY (added_by) REFERENCES users, ADD FOREIGN KEY (reviewed_by) REFERENCES users",
    ),
    (
        "indexes",
        """
        CREATE INDEX ON projects (user_id);
        CREATE INDEX ON domains (project_id);
        CREATE INDEX ON domains (domain_name);
        CREATE INDEX ON scrape_sessions (project_id, status);
        CREATE INDEX ON pages_v2 (capture_date);
        CREATE INDEX ON pages_v2 (content_hash);
        CREATE INDEX ON project_pages (page_id);
        CREATE INDEX ON project_pages (domain_id);
        CREATE INDEX ON project_pages (project_id, review_status, added_at DESC);
        CREATE INDEX ON project_pages USING gin (tags);
        """,
    ),
    (
        "sequences",
        "".join(
            f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}));"
            for table in ("users", "projects", "domains", "scrape_sessions", "project_pages")
        ),
    ),
    ("statistics", "ANALYZE"),
)

_NAMES = (
    "Ada Alan Barbara Chen Dmitri Edgar Fatima Grace Hiro Ines Jamal Katja Linus Maria Niklaus Olga Pavel Quentin Rosa "
    "Shafi Tariq Ursula Vint Wanjiru Xiu Yuki Zofia"
).split()
_SURNAMES = (
    "Abadi Bauer Codd Dijkstra Eriksen Floyd Gray Hopper Iverson Jones Knuth Liskov Mbeki Naur Okafor Perlis Quinn "
    "Ritchie Stonebraker Turing Ueda Valiant Wirth Xu Yao Zuse"
).split()
_WORDS = (
    "the of and to in a for on that with by from as at is are was were be this which or an its their have has had not "
    "but they we our new more public report data page archive city council water energy budget health school law court "
    "market price research study climate history museum library report record policy minister election vote union bank "
    "trade industry company product service team project plan review update release press statement notice agenda "
    "minutes committee board member region county district river coast port railway bridge road house garden"
).split()
_SUBJECTS = (
    "climate housing transport elections energy health education courts archives museums trade labour privacy water"
).split()
_TLDS = ("org", "com", "net", "gov", "edu", "info")
_TAGS = ("important", "follow-up", "cited", "translated", "duplicate?", "primary-source", "press", "legal", "image")
_CATEGORIES = (
    "government research news blog commercial personal social_media academic legal technical".split(),
    (14, 12, 30, 12, 12, 5, 4, 6, 3, 2),
)
_LANGUAGES = (("en", "de", "fr", "es", "ja", "pl"), (70, 9, 7, 7, 4, 3))
_REVIEW = (("pending", "relevant", "irrelevant", "needs_review", "duplicate"), (55, 22, 14, 6, 3))


@dataclass(frozen=True)
class Recipe:
    """What determines every row."""

    factor: float = SIZES["small"]
    seed: int = 1

    def label(self) -> str:
        return f"sample data version {VERSION}, size {self.factor:g}, seed {self.seed}"

    def rows(self, per_unit: int) -> int:
        return max(4, round(per_unit * self.factor))

    def stream(self, purpose: str) -> random.Random:
        """Each purpose draws from its own numbers, so that one table's change leaves the others as they are."""
        return random.Random(f"{self.seed}/{purpose}")


@dataclass
class Table:
    name: str
    columns: Sequence[str]
    count: int
    rows: Iterable[Sequence[Any]]


@dataclass
class SampleData:
    """The tables, in an order that foreign keys allow; rows are generated as they are read."""

    recipe: Recipe
    users: int = field(init=False)
    projects: int = field(init=False)
    domains: int = field(init=False)
    sessions: int = field(init=False)
    pages: int = field(init=False)

    def __post_init__(self) -> None:
        rows = self.recipe.rows
        self.users, self.projects, self.domains = rows(500), rows(1_500), rows(4_000)
        self.sessions, self.pages = rows(6_000), rows(50_000)
        pick = self.recipe.stream("who belongs to whom")
        self._owner = _skewed(pick, self.users, self.projects)
        self._project_of_domain = _skewed(pick, self.projects, self.domains)
        self._domain_of_page = _skewed(pick, self.domains, self.pages)
        self._domain_names = _domain_names(self.recipe.stream("domain names"), self.domains)
        self._shared = self._draw_shared(pick)

    def tables(self) -> Iterator[Table]:
        yield Table("users", _columns("""
            id email full_name is_active is_superuser is_verified current_plan login_count risk_score last_login
            created_at updated_at"""), self.users, self._users())  # fmt: skip
        yield Table("projects", _columns("""
            id user_id name description index_name process_documents config langextract_enabled langextract_model
            archive_source fallback_enabled archive_config status is_active created_at updated_at"""),
            self.projects, self._projects())  # fmt: skip
        yield Table("domains", _columns("""
            id project_id domain_name match_type url_path max_pages active status from_date to_date total_pages
            scraped_pages failed_pages pending_pages duplicate_pages success_rate known_gaps created_at updated_at"""),
            self.domains, self._domains())  # fmt: skip
        yield Table("scrape_sessions", _columns("""
            id project_id session_name status total_urls completed_urls failed_urls cancelled_urls error_message
            started_at completed_at created_at"""), self.sessions, self._sessions())  # fmt: skip
        yield Table("pages_v2", _columns("""
            id url unix_timestamp content_url content markdown_content extracted_data quality_score title
            extracted_title extracted_text meta_description meta_keywords author published_date language word_count
            character_count content_type content_length mime_type status_code capture_date content_hash processed
            indexed error_message retry_count created_at updated_at"""), self.pages, self._pages())  # fmt: skip
        yield Table("project_pages", _columns("""
            id project_id page_id domain_id review_status tags is_starred page_category priority_level is_duplicate
            added_at added_by reviewed_by reviewed_at"""),
            self.pages + len(self._shared), self._project_pages())  # fmt: skip

    def _users(self) -> Iterator[Sequence[Any]]:
        draw = self.recipe.stream("users")
        for number in range(1, self.users + 1):
            name, surname = draw.choice(_NAMES), draw.choice(_SURNAMES)
            created = _moment(draw, 1500)
            last_login = _between(draw, created, NOW) if draw.random() < 0.9 else None
            yield (
                number, f"{name}.{surname}.{number}@example.org".lower(), f"{name} {surname}", draw.random() < 0.95,
                number == 1, draw.random() < 0.85, draw.choices(("free", "pro", "team"), (80, 15, 5))[0],
                int(draw.paretovariate(0.9)) if last_login else 0, round(draw.betavariate(1, 9), 4), last_login,
                created, last_login or created,
            )  # fmt: skip

    def _projects(self) -> Iterator[Sequence[Any]]:
        draw = self.recipe.stream("projects")
        for number, owner in enumerate(self._owner, 1):
            subject, created, model = draw.choice(_SUBJECTS), _moment(draw, 1200), draw.random() < 0.2
            status = draw.choices(("indexed", "indexing", "no_index", "paused", "error"), (70, 8, 12, 7, 3))[0]
            yield (
                number, owner, f"{subject.capitalize()} in {draw.choice(_SURNAMES)} county",
                _sentence(draw) if draw.random() < 0.7 else None, f"project_{number}", draw.random() < 0.8,
                json.dumps({"depth": draw.randint(1, 5), "languages": draw.sample(_LANGUAGES[0], 2)}),
                model, "small-extractor" if model else None,
                draw.choices(("wayback_machine", "common_crawl", "hybrid"), (70, 20, 10))[0], draw.random() < 0.9,
                json.dumps({"timeout_s": draw.choice((30, 60, 120))}), status, status != "paused", created,
                _between(draw, created, NOW),
            )  # fmt: skip

    def _domains(self) -> Iterator[Sequence[Any]]:
        draw = self.recipe.stream("domains")
        scraped_pages = Counter(self._domain_of_page)
        for number, project in enumerate(self._project_of_domain, 1):
            scraped, created = scraped_pages[number], _moment(draw, 1100)
            failed, duplicate = int(scraped * draw.betavariate(1, 12)), int(scraped * draw.betavariate(1, 9))
            pending = draw.choice((0, 0, 0, draw.randint(1, 500)))
            total = scraped + failed + duplicate + pending
            since = draw.randint(1998, 2020)
            yield (
                number, project, self._domain_names[number - 1],
                draw.choices(("domain", "prefix", "exact", "regex"), (75, 15, 8, 2))[0],
                f"/{draw.choice(_SUBJECTS)}/" if draw.random() < 0.2 else None, draw.choice((None, 1_000, 10_000)),
                draw.random() < 0.85,
                "completed" if pending == 0 else draw.choices(("active", "paused", "error"), (80, 15, 5))[0],
                f"{since}0101", f"{since + draw.randint(1, 5)}1231", total, scraped, failed, pending, duplicate,
                round(100 * scraped / total, 2) if total else None,
                json.dumps([{"from": since, "to": since + 1}]) if draw.random() < 0.1 else None, created,
                _between(draw, created, NOW),
            )  # fmt: skip

    def _sessions(self) -> Iterator[Sequence[Any]]:
        draw = self.recipe.stream("sessions")
        for number, project in enumerate(_skewed(draw, self.projects, self.sessions), 1):
            status = draw.choices(("completed", "failed", "cancelled", "running", "pending"), (84, 6, 5, 3, 2))[0]
            total, created = int(20 * draw.paretovariate(0.8)) % 100_000, _moment(draw, 1000)
            done = total if status == "completed" else int(total * draw.random()) if status != "pending" else 0
            failed = int(done * draw.betavariate(1, 15))
            started = created + timedelta(seconds=draw.randint(1, 600)) if status != "pending" else None
            ended = started + timedelta(seconds=1 + total * 0.4) if started and status != "running" else None
            yield (
                number, project, f"Session {number}", status, total, done - failed, failed,
                total - done if status == "cancelled" else 0, "archive did not answer" if status == "failed" else None,
                started, ended, created,
            )  # fmt: skip

    def _page_ids(self) -> Iterator[uuid.UUID]:
        draw = self.recipe.stream("page ids")
        while True:
            yield uuid.UUID(int=draw.getrandbits(128), version=4)

    def _pages(self) -> Iterator[Sequence[Any]]:
        draw = self.recipe.stream("pages")
        prose = [" ".join(_sentence(draw) for _ in range(draw.randint(2, 6))) for _ in range(500)]
        for number, (domain, page_id) in enumerate(zip(self._domain_of_page, self._page_ids(), strict=False)):
            captured = _moment(draw, 5000)
            seconds = int(captured.timestamp())
            subject = draw.choice(_SUBJECTS)
            url = f"https://{self._domain_names[domain - 1]}/{subject}/{captured.year}/{number:x}"
            ok = draw.random() < 0.94
            title = f"{subject.capitalize()}: {_sentence(draw, 3, 7)}" if ok else None
            text = "\n\n".join(draw.choices(prose, k=draw.randint(1, 3))) if ok else None
            language = draw.choices(*_LANGUAGES)[0]
            added = _moment(draw, 900)
            yield (
                page_id, url, seconds, f"https://archive.example.org/web/{seconds}/{url}",
                f"<html><title>{title}</title><body>{text}</body></html>" if ok else None,
                f"# {title}\n\n{text}" if ok else None,
                json.dumps({"links": draw.randint(0, 120), "images": draw.randint(0, 30)}) if ok else None,
                Decimal(draw.randint(0, 100)).scaleb(-2) if ok else None, title, title, text,
                text[:150] if text else None, ", ".join(draw.sample(_SUBJECTS, 3)) if ok else None,
                f"{draw.choice(_NAMES)} {draw.choice(_SURNAMES)}" if draw.random() < 0.4 else None,
                captured - timedelta(days=draw.randint(0, 400)) if draw.random() < 0.5 else None, language,
                text.count(" ") + 1 if text else None, len(text) if text else None, "text/html; charset=utf-8",
                len(text) * 2 if text else 0, "text/html", 200 if ok else draw.choice((301, 404, 404, 500)), captured,
                f"{draw.getrandbits(256):064x}", ok, ok and draw.random() < 0.9,
                None if ok else "capture could not be read", 0 if ok else draw.randint(1, 3), added, added,
            )  # fmt: skip

    def _draw_shared(self, draw: random.Random) -> list[tuple[int, int]]:
        """One page in five is in a second project too: (index of the page, project)."""
        shared = []
        for page in range(self.pages):
            if draw.random() < 0.2:
                project = draw.randint(1, self.projects)
                if project != self._project_of_domain[self._domain_of_page[page] - 1]:
                    shared.append((page, project))
        return shared

    def _project_pages(self) -> Iterator[Sequence[Any]]:
        draw = self.recipe.stream("project pages")
        shared = iter(self._shared)
        next_shared = next(shared, None)
        number = itertools.count(1)
        for page, (domain, page_id) in enumerate(zip(self._domain_of_page, self._page_ids(), strict=False)):
            yield self._project_page(draw, next(number), self._project_of_domain[domain - 1], page_id, domain)
            if next_shared and next_shared[0] == page:
                yield self._project_page(draw, next(number), next_shared[1], page_id, None)
                next_shared = next(shared, None)

    def _project_page(
        self, draw: random.Random, number: int, project: int, page_id: uuid.UUID, domain: int | None
    ) -> Sequence[Any]:
        owner, added = self._owner[project - 1], _moment(draw, 900)
        review = draw.choices(*_REVIEW)[0]
        reviewed = review != "pending"
        return (
            number, project, page_id, domain, review,
            draw.sample(_TAGS, draw.randint(1, 3)) if draw.random() < 0.3 else [], draw.random() < 0.04,
            draw.choices(*_CATEGORIES)[0] if reviewed or draw.random() < 0.3 else None,
            draw.choices(("low", "medium", "high"), (20, 70, 10))[0], review == "duplicate", added, owner,
            owner if reviewed else None, _between(draw, added, NOW) if reviewed else None,
        )  # fmt: skip


def _columns(names: str) -> list[str]:
    return names.split()


def _skewed(draw: random.Random, choices: int, count: int) -> list[int]:
    """`count` numbers from 1 to `choices`, frequent ones and rare ones, in no order."""
    weights = [1 / (rank + 20) for rank in range(choices)]
    draw.shuffle(weights)
    return draw.choices(range(1, choices + 1), cum_weights=list(itertools.accumulate(weights)), k=count)


def _domain_names(draw: random.Random, count: int) -> list[str]:
    return [
        f"{draw.choice(_SUBJECTS)}-{draw.choice(_SURNAMES).lower()}{number if draw.random() < 0.8 else ''}."
        f"{draw.choice(_TLDS)}"
        for number in range(count)
    ]


def _moment(draw: random.Random, days_back: int) -> datetime:
    """Recent moments are likelier than old ones."""
    return NOW - timedelta(seconds=int(days_back * 86_400 * draw.random() ** 2))


def _between(draw: random.Random, first: datetime, last: datetime) -> datetime:
    return first + timedelta(seconds=int((last - first).total_seconds() * draw.random()))


def _sentence(draw: random.Random, shortest: int = 6, longest: int = 18) -> str:
    return " ".join(draw.choices(_WORDS, k=draw.randint(shortest, longest))).capitalize() + "."


class Progress:
    """One line that is rewritten on a terminal; elsewhere a line when something is finished."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = 0.0

    def update(self, text: str) -> None:
        if self._live and time.monotonic() - self._shown > 0.1:
            self._shown = time.monotonic()
            print(f"\r\033[K  {text}", end="", flush=True)

    def finish(self, text: str) -> None:
        print(f"\r\033[K  {text}" if self._live else f"  {text}", flush=True)


def _counted(table: Table, progress: Progress) -> Iterator[Sequence[Any]]:
    for done, row in enumerate(table.rows):
        if done % 500 == 0:
            progress.update(f"{table.name}: {done:,} of {table.count:,} rows ({100 * done // table.count} %)")
        yield row


async def load(dsn: str, recipe: Recipe) -> None:
    """Fills an empty database."""
    progress = Progress()
    progress.update("choosing who owns what")
    data = SampleData(recipe)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA)
        for table in data.tables():
            started = time.monotonic()
            await connection.copy_records_to_table(
                table.name, columns=table.columns, records=_counted(table, progress), timeout=None
            )
            progress.finish(f"{table.name}: {table.count:,} rows in {time.monotonic() - started:.1f} s")
        for what, statement in AFTER_LOAD:
            started = time.monotonic()
            progress.update(what)
            await connection.execute(statement)
            progress.finish(f"{what}: {time.monotonic() - started:.1f} s")
    finally:
        await connection.close()


def generate(dsn: str, recipe: Recipe) -> None:
    asyncio.run(load(dsn, recipe))
