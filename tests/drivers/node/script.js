"use strict";
// What drivers do, with node's `pg`. Prints the same whether it talks to PostgreSQL or to something before it.
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const copy = require("pg-copy-streams");
const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");
const util = require("node:util");

const sections = {};
const show = (...things) =>
  console.log(things.map((thing) => {
    const text = util.inspect(thing, { depth: 8, breakLength: Infinity, maxStringLength: 300, maxArrayLength: 50 });
    return text;
  }).join("  "));
const FIELDS = ["severity", "code", "message", "detail", "hint", "position", "where", "schema", "table", "column", "dataType", "constraint"];
const describe = (error) => Object.fromEntries(FIELDS.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]));
const attempt = async (promise) => {
  try {
    show(await promise);
  } catch (error) {
    show("error", describe(error));
  }
};
const rows = async (client, text, values) => (await client.query(text, values)).rows;

const LITERALS = {
  int2: ["-32768"], int4: ["2147483647"], int8: ["9223372036854775807"], numeric: ["-1.50", "NaN"],
  float4: ["1.5", "NaN", "Infinity"], float8: ["0.1", "-Infinity"], bool: ["t", "f"],
  text: ["", "O'Reilly \\ \"x\"", "漢字 🐘 e\u0301"], bytea: ["", "\\x00ff10"], date: ["2000-01-01"],
  time: ["23:59:59.999999"], timestamp: ["2000-01-01 00:00:00"], timestamptz: ["2024-02-29 12:00:00+05:30"],
  interval: ["1 day -01:02:03.5"], uuid: ["12345678-1234-5678-1234-567812345678"], json: ['{"a": [1, null, "ü"]}'],
  jsonb: ["[]"], "int4[]": ["{1,NULL,3}", "{{1,2},{3,4}}"], "text[]": ['{a,"b c",NULL,""}'], int4range: ["[1,5)", "empty"],
  mood: ["happy ☺"], pair: ['(1,"a b")'],
};

sections.types = async (client) => {
  for (const [type, literals] of Object.entries(LITERALS)) {
    for (const literal of literals) {
      for (const binary of [false, true]) {
        await attempt(client.query({ text: `SELECT $1::text::${type} AS v`, values: [literal], binary, rowMode: "array" }).then((r) => [r.rows, r.fields.map((f) => [f.name, f.dataTypeID < 16384 ? f.dataTypeID : "own", f.format])]));
      }
    }
  }
  show(await rows(client, "SELECT NULL::int AS a, $1::text AS b", [null]), await rows(client, "SELECT"), await rows(client, "SELECT 1 WHERE false"));
  show(await rows(client, "SELECT $1::int[] AS a, $2::json AS j, $3::bytea AS b", [[1, null], { x: 1 }, Buffer.from([0, 255])]));
};

sections.results = async (client) => {
  const result = await client.query("UPDATE item SET name = name RETURNING id");
  show(result.command, result.rowCount, result.rows);
  show((await client.query("SELECT 1 AS a; SELECT 2 AS b; UPDATE item SET name = name")).map((r) => [r.command, r.rowCount, r.rows]));
  show((await client.query("")).command);
};

sections.prepared = async (client) => {
  for (let n = 0; n < 30; n++) await client.query({ name: "plus", text: "SELECT $1::int + 1 AS n", values: [n] });
  show(await rows(client, { name: "plus", text: "SELECT $1::int + 1 AS n", values: [41] }));
  for (let n = 0; n < 200; n++) await client.query({ name: `s${n}`, text: `SELECT ${n} + $1::int AS n`, values: [1] });
  show(await rows(client, { name: "s150", text: "SELECT 150 + $1::int AS n", values: [1] }));
  await attempt(client.query({ name: "plus", text: "SELECT 'another text'" }));
  await attempt(client.query({ name: "broken", text: "SELEC" }));
  await attempt(client.query({ name: "broken", text: "SELECT 'mended' AS m" }));
  await client.query("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)");
  show(await rows(client, { name: "changing", text: "SELECT * FROM changing" }));
  await client.query("ALTER TABLE changing ADD b int DEFAULT 2");
  await attempt(rows(client, { name: "changing", text: "SELECT * FROM changing" }));
  await attempt(rows(client, { name: "changing again", text: "SELECT * FROM changing" }));
  await client.query("DROP TABLE changing");
};

sections.errors = async (client) => {
  for (const sql of ["SELECT 1/0", "SELEC", "SELECT * FROM missing", "INSERT INTO item (name) VALUES ('one')", "INSERT INTO part VALUES (99)",
    "INSERT INTO item (name, price) VALUES ('n', -1)", "SELECT 3::even", "SELECT 1; SELECT 1/0; SELECT 2"]) {
    await attempt(client.query(sql));
    if (!sql.includes(";")) await attempt(client.query(sql, []));
  }
  for (const state of ["22012", "40001", "40P01", "23505", "57014", "XX000", "ZZ999"]) await attempt(client.query("SELECT fail_with($1)", [state]));
  await attempt(client.query("SELECT $1::int", ["not a number"]));
  await attempt(client.query("SELECT $1::int, $2::int", [1]));
  show(await rows(client, "SELECT 'alive' AS a"));
};

sections.queued = async (client) => {
  const asked = [];
  for (let n = 0; n < 20; n++) asked.push(rows(client, n === 7 ? "SELECT 1/$1::int AS n" : "SELECT $1::int AS n", [n === 7 ? 0 : n]).catch((error) => error.code));
  show(await Promise.all(asked));
};

sections.transactions = async (client) => {
  await client.query("BEGIN");
  await client.query("INSERT INTO item (name) VALUES ('gone')");
  await client.query("SAVEPOINT a");
  await attempt(client.query("SELECT 1/0"));
  await attempt(client.query("SELECT 1 AS n", []));
  await client.query("ROLLBACK TO a");
  show(await rows(client, "SELECT count(*) FROM item"));
  await client.query("ROLLBACK");
  show(await rows(client, "SELECT count(*) FROM item"));
};

sections.cursors = async (client) => {
  await client.query("BEGIN");
  const cursor = client.query(new Cursor("SELECT n FROM generate_series(1, $1) n", [25]));
  const sizes = [];
  for (let got; (got = await cursor.read(10)).length > 0;) sizes.push(got.length);
  show(sizes);
  await cursor.close();
  const early = client.query(new Cursor("SELECT n FROM generate_series(1, 1000) n"));
  show(await early.read(2));
  await early.close();
  const failing = client.query(new Cursor("SELECT 10 / (5 - n) FROM generate_series(1, 10) n"));
  await attempt(failing.read(3));
  await attempt(failing.read(3));
  await failing.close();
  await client.query("ROLLBACK");
};

sections.copy = async (client) => {
  await client.query("CREATE TABLE bulk (a int, b text)");
  await pipeline(Readable.from(Array.from({ length: 5000 }, (_, n) => `${n}\trow ${n}\n`)), client.query(copy.from("COPY bulk FROM STDIN")));
  show(await rows(client, "SELECT count(*), sum(a) FROM bulk"));
  let length = 0;
  for await (const block of client.query(copy.to("COPY bulk TO STDOUT"))) length += block.length;
  show(length);
  await attempt(pipeline(Readable.from(["bad\n"]), client.query(copy.from("COPY bulk FROM STDIN"))));
  await attempt((async () => {
    for await (const block of client.query(copy.to("COPY (SELECT 1 / (n - 3) FROM generate_series(1, 5) n) TO STDOUT"))) show(block.length > 0);
  })());
  show(await rows(client, "SELECT count(*) FROM bulk"));
};

sections.notifications = async (client) => {
  const heard = [];
  const listener = ({ channel, payload }) => heard.push([channel, payload]);
  client.on("notification", listener);
  await client.query("LISTEN news");
  const other = new Client();
  await other.connect();
  await other.query("NOTIFY news, 'hello'");
  await other.end();
  while (heard.length < 1) await new Promise((done) => setTimeout(done, 20));
  await client.query("UNLISTEN *");
  client.off("notification", listener);
  show(heard);
};

sections.notices = async (client) => {
  const heard = [];
  const listener = (notice) => heard.push([notice.severity, notice.code, notice.message]);
  client.on("notice", listener);
  show(await rows(client, "SELECT shout('hey')"));
  client.off("notice", listener);
  show(heard);
};

sections.cancellation = async (client) => {
  await client.query("SET statement_timeout = 50");
  await attempt(client.query("SELECT pg_sleep(20)"));
  await client.query("RESET statement_timeout");
  const sleeping = client.query("SELECT pg_sleep(20)");
  setTimeout(() => new Client().cancel(client, client.activeQuery), 200);
  await attempt(sleeping);
  show(await rows(client, "SELECT 'after' AS a"));
};

sections.settings = async (client) => {
  await client.query("SET TIME ZONE 'Asia/Tokyo'");
  show(await rows(client, "SELECT timestamptz '2000-01-01 00:00Z' AS t, current_setting('TimeZone') AS z"));
  await client.query("BEGIN; SET LOCAL work_mem = '2MB'; COMMIT");
  show(await rows(client, "SHOW work_mem"));
  await client.query("RESET ALL");
  await client.query("CREATE TEMP TABLE own AS SELECT 1 AS a");
  show(await rows(client, "SELECT * FROM own"));
  await client.query("DROP TABLE own");
  show(await rows(client, "SELECT pg_try_advisory_lock(9) AS l"), await rows(client, "SELECT pg_advisory_unlock(9) AS u"));
};

sections.large_values = async (client) => {
  const big = "x".repeat(10_000_000);
  show(await rows(client, "SELECT length($1::text) AS n", [big]));
  show((await rows(client, "SELECT repeat('y', 10000000) AS v"))[0].v.length);
  show((await rows(client, "SELECT n, repeat('z', 100) AS z FROM generate_series(1, 50000) n")).length);
};

sections.pool = async () => {
  const pool = new Pool({ max: 4 });
  const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => pool.query("SELECT $1::int * 2 AS n", [n])));
  show(answers.map((answer) => answer.rows[0].n));
  await pool.end();
};

(async () => {
  const client = new Client();
  await client.connect();
  for (const [name, section] of Object.entries(sections)) {
    console.log(`## ${name}`);
    try {
      await section(client);
    } catch (error) {
      console.log(`!! ${error.name}: ${error.message}`);
    }
  }
  await client.end();
})();
