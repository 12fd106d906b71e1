-- What every driver's script finds in its database.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy ☺');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0);
CREATE TABLE item (id serial PRIMARY KEY, name text NOT NULL UNIQUE, price numeric(10, 2) CHECK (price >= 0), tags text[]);
CREATE TABLE part (item_id int REFERENCES item, note text);
INSERT INTO item (name, price, tags) VALUES ('one', 1.50, '{a,b}'), ('two', 2.25, '{}'), ('three', NULL, NULL);
CREATE FUNCTION shout(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'shouting %', what; RETURN upper(what); END $$;
CREATE FUNCTION fail_with(state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'failed on purpose' USING ERRCODE = state, DETAIL = 'the detail', HINT = 'the hint',
    SCHEMA = 'the_schema', TABLE = 'the_table', COLUMN = 'the_column', CONSTRAINT = 'the_constraint', DATATYPE = 'the_type';
END $$;
CREATE PROCEDURE twice(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n * 2; COMMIT; END $$;
