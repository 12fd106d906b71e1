-- The schema that the cases are about; bench/rewrites fills it at a realistic size, the soundness test with a few rows at a time.
CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE TYPE pair AS (a int, b int);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL UNIQUE, name text, country text REFERENCES countries,
  score numeric, created timestamp NOT NULL, seen timestamptz, born date, referred_by int, token uuid, rank bigint NOT NULL DEFAULT 0,
  nickname text COLLATE insensitive, feeling mood, dimensions pair NOT NULL DEFAULT ROW(NULL, NULL), stars positive, weight float8);
CREATE TABLE products (id int PRIMARY KEY, sku text NOT NULL, name text, price numeric NOT NULL, category int, UNIQUE (sku));
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, product_id int REFERENCES products,
  loose_customer_id int, status text NOT NULL, amount numeric, quantity int, placed timestamp, shipped timestamptz, day date, note text);
CREATE TABLE items (order_id int NOT NULL REFERENCES orders, line int NOT NULL, product_id int, price numeric, returned boolean,
  PRIMARY KEY (order_id, line));
CREATE TABLE blocked (customer_id int NOT NULL, reason text, since timestamp);
CREATE TABLE blocked_maybe (customer_id int, reason text);
CREATE TABLE parent (id int NOT NULL, x int NOT NULL);
CREATE TABLE child (extra int) INHERITS (parent);
ALTER TABLE child ALTER x DROP NOT NULL;
CREATE TABLE late (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers DEFERRABLE);
CREATE TABLE unchecked (id int PRIMARY KEY, customer_id int NOT NULL);
ALTER TABLE unchecked ADD FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;
CREATE TABLE events (id bigint NOT NULL, kind int NOT NULL, at timestamp NOT NULL, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1, 2, 3);
CREATE TABLE events_2 PARTITION OF events DEFAULT;
CREATE TABLE secret (id int PRIMARY KEY, x int NOT NULL);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION anything(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1';
CREATE TABLE odd (id int PRIMARY KEY, flag boolean, amount numeric NOT NULL UNIQUE, ratio real, small int2, shape circle, network cidr, doc json);
CREATE TABLE nicks (nickname text COLLATE insensitive NOT NULL);
CREATE UNIQUE INDEX ON nicks (nickname COLLATE "C");
CREATE TABLE event_notes (id int PRIMARY KEY, event_id bigint NOT NULL, kind int NOT NULL, FOREIGN KEY (event_id, kind) REFERENCES events);
CREATE TABLE guarded (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers ON DELETE CASCADE);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE DELETE ON guarded FOR EACH ROW EXECUTE FUNCTION keep();
CREATE FUNCTION both_of(int, int) RETURNS SETOF int LANGUAGE sql IMMUTABLE AS 'SELECT $1 UNION ALL SELECT $2';
CREATE OPERATOR <+> (LEFTARG = int, RIGHTARG = int, FUNCTION = both_of);
CREATE FUNCTION of_row(customers) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
CREATE VIEW of_secret AS SELECT id, x FROM secret;
CREATE VIEW of_anything AS SELECT anything(id) AS id FROM orders;
CREATE VIEW of_views AS SELECT id FROM of_anything;
CREATE VIEW recent AS SELECT id, customer_id, placed FROM orders WHERE placed > '2020-01-01';
CREATE INDEX ON customers (created);
CREATE INDEX ON customers (seen);
CREATE INDEX ON customers (born);
CREATE INDEX ON customers (score);
CREATE INDEX ON customers (country);
CREATE INDEX ON customers (rank);
CREATE INDEX ON customers (token);
CREATE INDEX ON customers (name text_pattern_ops);
CREATE INDEX ON customers (name);
CREATE INDEX ON customers (referred_by);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (placed, id);
CREATE INDEX ON orders (shipped);
CREATE INDEX ON orders (quantity);
CREATE INDEX ON orders (amount);
