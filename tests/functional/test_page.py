"""The page at /, as Chromium shows it; and how it is sent."""

import gzip
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from wire import connect

from harness import Millrace, PostgreSQL
from harness.chromium import Page, strangers

SLOW_FROM_MS = 30
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
SCHEMA = "CREATE TABLE shelves (id int PRIMARY KEY, room int); INSERT INTO shelves SELECT n, n % 7 FROM generate_series(1, 500) n"

# What a page is told that asks before the store is open.
STORE_OPENS_LATE = """{
  const answered = window.fetch;
  let times = 0;
  window.fetch = async (url, how) => {
    const answer = await answered(url, how);
    if (!String(url).includes("/optimization/status") || ++times > 2) return answer;
    const status = await answer.json();
    return Response.json({ ...status, store: { ...status.store, state: "opening" } });
  };
}"""

LIVE = "document.querySelector('.connection.live')"
DETAIL = "document.querySelector('dialog[open] .figures')"


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": SLOW_FROM_MS}) as server:
        yield server


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    async with Page() as one:
        yield one


def be_busy(millrace: Millrace) -> None:
    with connect(millrace) as client:
        for number in range(1, 51):
            client.rows(f"SELECT room FROM shelves WHERE id = {number}")
        client.rows(f"SELECT $q${HOSTILE}$q$, pg_sleep({2 * SLOW_FROM_MS / 1000})")


def text_of(selector: str) -> str:
    return f"document.querySelector(`{selector}`)?.innerText"


@pytest.mark.asyncio
async def test_what_it_shows_and_does(millrace: Millrace, page: Page) -> None:
    await page.open(f"{millrace.http_url}/")
    await page.until(LIVE, "WebSocket")
    assert "No queries yet" in await page.until(text_of(".empty"), "hint for who has just begun")
    rule = {"metric_type": "execution_time", "threshold_value": SLOW_FROM_MS, "severity": "high"}
    httpx.post(f"{millrace.http_url}/api/v1/performance/create-alert", json=rule, trust_env=False)
    be_busy(millrace)

    # The figures of now.
    await page.until(f"parseFloat({text_of('.panel .big')}) > 0", "queries a second")
    await page.until(f"/ms|µs/.test({text_of('.panel:nth-of-type(2) .big')})", "percentiles")
    await page.until("document.querySelector('.panel canvas').width > 0", "chart")
    assert (await page.ask(text_of(".ranges"))).split("\n")[-1] == "24 h"

    # A slow query is text, wherever it stands.
    await page.until("document.querySelector('table.slow tbody button')", "slow query")
    assert HOSTILE in await page.ask(text_of("table.slow tbody button"))
    await page.ask("document.querySelector('table.slow tbody button').click()")
    assert HOSTILE in await page.until(text_of("table.slow .whole pre"), "all of the slow query")

    # A statement is opened and left by keyboard.
    shelves = "[...document.querySelectorAll('[data-template]')].find(one => one.innerText.includes('shelves'))"
    await page.until(shelves, "statement")
    await page.ask("document.querySelector('[data-template]').focus()")
    opened = 0
    while not await page.ask(f"document.activeElement === {shelves}"):
        await page.press("ArrowDown")
        opened += 1
        assert opened < 20
    identity = await page.ask("document.activeElement.dataset.template")
    await page.press("Enter")
    await page.until(DETAIL, "detail")
    assert "SELECT room FROM shelves WHERE id = ?" in await page.ask(text_of("dialog .sql"))
    assert await page.ask("document.querySelectorAll('dialog .spread rect').length") > 0
    await page.until("document.querySelector('dialog').innerText.includes('Index Scan')", "plan")
    assert await page.ask("location.hash") == f"#statement/{identity}"
    await page.press("Escape")
    await page.until(f"!{DETAIL}", "end of the detail")
    await page.until("location.hash === ''", "address of the whole")
    assert await page.ask(f"document.activeElement === {shelves}")

    # The alert that all this has raised.
    await page.until("document.querySelector('.firing')", "alert")
    await page.ask("document.querySelector('.firing .actions button').click()")
    await page.until("document.querySelector('.firing').innerText.includes('looks after it')", "acknowledgement")
    await page.ask("document.querySelector('.firing .actions button').click()")
    await page.until("!document.querySelector('.firing')", "end of the alert")

    # Millrace goes and comes.
    millrace.stop()
    await page.until("document.querySelector('.connection.lost') && document.querySelector('.verdict.bad')", "loss")
    millrace.start()  # not on another thread: it would end with that
    await page.until(f"{LIVE} && !document.querySelector('.stale')", "return")

    assert page.problems == []
    assert strangers(page.requests, millrace.http_url) == []
    assert await page.ask("document.title") != "taken"


@pytest.mark.asyncio
async def test_a_week_is_shown_where_figures_are_kept_for_so_long(postgres: PostgreSQL, page: Page, tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path), "PERFORMANCE_HISTORY_RETENTION_DAYS": 7}
    with Millrace(postgres, settings) as before:
        be_busy(before)
    with Millrace(postgres, settings) as keeping:
        await page.send("Page.addScriptToEvaluateOnNewDocument", source=STORE_OPENS_LATE)
        await page.open(f"{keeping.http_url}/")
        week = "[...document.querySelectorAll('.ranges label')].find(one => one.innerText === '7 d')"
        await page.until(week, "a week to choose")
        assert "30 d" not in await page.ask(text_of(".ranges"))
        await page.ask(f"{week}.click()")
        # What was before the restart is there; not before these are answered is a week shown.
        await page.until_answered("trends?window=10080")
        await page.until_answered("templates?sort=total_time&window=10080")
        shelves = "[...document.querySelectorAll('[data-template]')].find(one => one.innerText.includes('shelves'))"
        await page.until(shelves, "statement")
        await page.until("document.querySelector('.panel canvas').width > 0", "chart")
    assert page.problems == []


@pytest.mark.asyncio
async def test_it_asks_for_a_key_where_one_is_needed(postgres: PostgreSQL, page: Page) -> None:
    key = "mr_key"
    with Millrace(postgres, {"API_KEY_HASHES": hashlib.sha256(key.encode()).hexdigest()}) as guarded:
        await page.open(f"{guarded.http_url}/")
        await page.until("document.querySelector('#key')", "question for a key")
        await page.ask("document.querySelector('#key').focus()")
        await page.send("Input.insertText", text=key)
        await page.press("Enter")
        await page.until(LIVE, "WebSocket")
    assert page.problems == []


@pytest.mark.asyncio
async def test_it_says_that_postgresql_is_gone(page: Page) -> None:
    with Millrace(settings={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nosuch"}) as alone:
        await page.open(f"{alone.http_url}/")
        assert "PostgreSQL can't be reached" in await page.until(text_of(".verdict.bad"), "verdict")


def test_how_it_is_sent(millrace: Millrace) -> None:
    with httpx.Client(base_url=millrace.http_url, trust_env=False) as client:
        page = client.get("/", headers={"Accept-Encoding": "identity"})
        assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-cache"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        paths = ["/", *(f"/{path}" for path in re.findall(r'(?:src|href)="\./([^"]+)"', page.text))]
        assert {path.rpartition(".")[2] for path in paths[1:]} == {"js", "css", "svg"}
        sent = 0
        for path in paths:
            whole = client.get(path, headers={"Accept-Encoding": "identity"})
            packed = client.get(path, headers={"Accept-Encoding": "br, gzip"})
            assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in whole.headers
            assert packed.content == whole.content  # as httpx unpacks it
            assert client.get(path, headers={"Accept-Encoding": "gzip;q=0"}).headers.get("content-encoding") is None
            sent += int(packed.headers["content-length"])
            assert len(gzip.compress(whole.content)) * 1.1 > int(packed.headers["content-length"])
            assert path == "/" or "immutable" in whole.headers["cache-control"]
            again = client.get(path, headers={"If-None-Match": whole.headers["etag"]})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", whole.headers["etag"])
            assert client.head(path).headers["etag"] == whole.headers["etag"]
        assert sent < 100_000
        assert client.get("/assets/nosuch.js").status_code == 404
        assert client.post("/").status_code == 405
