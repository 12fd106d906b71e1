"""What the benches of a working day share: a shop's tables, and its clients, who come whether earlier ones are answered or not."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
import support  # noqa: F401  the way to the harness

from harness import Millrace

CUSTOMERS, PRODUCTS, SUPPLIERS, ORDERS, ITEMS = 10_000, 5_000, 100, 200_000, 500_000
CONNECTIONS = 16

SCHEMA = f"""
CREATE TABLE customers (id int PRIMARY KEY, name text, country int);
INSERT INTO customers SELECT n, 'customer ' || n, n % 50 FROM generate_series(1, {CUSTOMERS}) n;
CREATE TABLE products (id int PRIMARY KEY, supplier int, name text, price int, stock int);
INSERT INTO products SELECT n, n % {SUPPLIERS}, 'product ' || n, n % 997, 1000000 FROM generate_series(1, {PRODUCTS}) n;
CREATE TABLE orders (id serial PRIMARY KEY, customer_id int, total int, placed timestamptz DEFAULT now());
INSERT INTO orders (customer_id, total) SELECT (hashint4(n) & 1073741823) % {CUSTOMERS} + 1, n % 5000 FROM generate_series(1, {ORDERS}) n;
CREATE TABLE items (order_id int, product_id int, quantity int);
INSERT INTO items SELECT (hashint4(n) & 1073741823) % {ORDERS} + 1, (hashint4(-n) & 1073741823) % {PRODUCTS} + 1, n % 5 + 1
  FROM generate_series(1, {ITEMS}) n;
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX items_order ON items (order_id);
CREATE INDEX items_product ON items (product_id);
"""

ORDERS_OF_CUSTOMER = "SELECT id, total, placed FROM orders WHERE customer_id = %s ORDER BY placed DESC LIMIT 10"
SALES_OF_SUPPLIER = (
    "SELECT p.id, sum(i.quantity) FROM products p JOIN items i ON i.product_id = p.id WHERE p.supplier = %s GROUP BY p.id"
)


@dataclass(frozen=True)
class Page:
    weight: float  # of all that are opened
    statements: Callable[[random.Random], list[tuple[str, tuple[int, ...]]]]  # one transaction if they are several


def _place_order(draw: random.Random) -> list[tuple[str, tuple[int, ...]]]:
    customer, product = draw.randint(1, CUSTOMERS), draw.randint(1, PRODUCTS)
    return [
        ("UPDATE products SET stock = stock - 1 WHERE id = %s", (product,)),
        ("INSERT INTO orders (customer_id, total) VALUES (%s, %s)", (customer, draw.randint(1, 5000))),
        ("INSERT INTO items VALUES (currval('orders_id_seq'), %s, %s)", (product, draw.randint(1, 5))),
    ]


PAGES = (
    Page(0.30, lambda draw: [("SELECT name, country FROM customers WHERE id = %s", (draw.randint(1, CUSTOMERS),))]),
    Page(0.25, lambda draw: [("SELECT name, price, stock FROM products WHERE id = %s", (draw.randint(1, PRODUCTS),))]),
    Page(0.20, lambda draw: [(ORDERS_OF_CUSTOMER, (draw.randint(1, CUSTOMERS),))]),
    Page(0.10, lambda draw: [
        ("SELECT p.name, i.quantity FROM items i JOIN products p ON p.id = i.product_id WHERE i.order_id = %s", (draw.randint(1, ORDERS),)),
    ]),
    Page(0.08, lambda draw: [(SALES_OF_SUPPLIER, (draw.randrange(SUPPLIERS),))]),
    Page(0.07, _place_order),
)  # fmt: skip

NIGHTLY = (
    "SELECT customer_id, sum(total) FROM orders GROUP BY customer_id ORDER BY 2 DESC LIMIT 100",
    "SELECT p.supplier, sum(i.quantity * p.price) FROM items i JOIN products p ON p.id = i.product_id GROUP BY p.supplier",
    "UPDATE products SET stock = stock + 10",
    "ANALYZE orders, items, products",
)


@dataclass
class Shop:
    """Clients of Millrace, on one event loop. `rate`: of pages, a second, by the seconds since it began."""

    millrace: Millrace
    rate: Callable[[float], float]
    seed: int = 1
    pages: int = 0
    failed: int = 0
    _free: asyncio.Queue[psycopg.AsyncConnection] = field(default_factory=asyncio.Queue)
    _stopped: bool = False

    def stop(self) -> None:
        """No page is opened any more; `run` ends when those that are have been answered."""
        self._stopped = True

    async def run(self) -> None:
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await self.connect())
        draw, began, next_at = random.Random(self.seed), time.monotonic(), 0.0
        async with asyncio.TaskGroup() as under_way:
            while not self._stopped:
                next_at += draw.expovariate(self.rate(next_at))
                await asyncio.sleep(max(0.0, began + next_at - time.monotonic()))
                connection = await self._free.get()
                page = draw.choices(PAGES, [page.weight for page in PAGES])[0]
                under_way.create_task(self._open(connection, page.statements(draw)))

    async def connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self.millrace.dsn(), autocommit=True, prepare_threshold=None)

    async def _open(self, connection: psycopg.AsyncConnection, statements: list[tuple[str, tuple[int, ...]]]) -> None:
        self.pages += 1
        try:
            if len(statements) == 1:
                await connection.execute(*statements[0])
            else:
                async with connection.transaction():
                    for statement in statements:
                        await connection.execute(*statement)
        except psycopg.Error:
            self.failed += 1
        self._free.put_nowait(connection)

    async def nightly(self, until: float) -> None:
        """The batch, again and again, on a connection of its own; `until` of the monotonic clock."""
        async with await self.connect() as connection:
            while time.monotonic() < until:
                for sql in NIGHTLY:
                    await connection.execute(sql)
