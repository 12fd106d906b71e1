"use strict";
// Loads the pages whose numbers come as a line of JSON, some at a time, and says so: bench/orm_hits' with node's `pg`.
const { Pool } = require(`${process.env.NODE_MODULES}/pg`);
const readline = require("node:readline");

const pool = new Pool({ max: 4, connectionString: process.env.DATABASE_URL });
const queries = JSON.parse(process.env.QUERIES);

async function load(page) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    for (const text of queries) await client.query(text, [page]);
    await client.query("COMMIT");
  } finally {
    client.release();
  }
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const pages = JSON.parse(line);
  const worker = async () => {
    while (pages.length) await load(pages.shift());
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  console.log("loaded");
}).on("close", () => pool.end());
