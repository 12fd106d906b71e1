// node embed.mjs FOLDER OUT.cpp: a C++ source with all files of a folder that Vite has built, for page_files.hpp.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";

const [folder, out] = process.argv.slice(2);
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.path, entry.name).slice(join(folder, "/").length))
  .sort();

const lines = ['#include "page/page_files.hpp"', "", "namespace millrace::page {", "namespace {", ""];
const rows = [];
const bytes = (name, data) => lines.push(`constexpr unsigned char ${name}[] = {${[...data].join(",")}};`);
const view = (name, data) => `{reinterpret_cast<const char*>(${name}), ${data.length}}`;
files.forEach((file, at) => {
  const type = TYPES[extname(file)];
  if (!type) throw new Error(`${file}: of which media type is it?`);
  const content = readFileSync(join(folder, file));
  const gzipped = gzipSync(content, { level: 9 });
  gzipped[9] = 255; // the system that made it: unknown, so that all make the same
  const path = file === "index.html" ? "/" : `/${file}`;
  const etag = createHash("sha256").update(content).digest("hex").slice(0, 16);
  bytes(`content_${at}`, content);
  bytes(`gzipped_${at}`, gzipped);
  rows.push(
    `    {"${path}", "${type}", ${view(`content_${at}`, content)}, ${view(`gzipped_${at}`, gzipped)}, "\\"${etag}\\"", ${path !== "/"}},`,
  );
});
lines.push("", "const File all[] = {", ...rows, "};", "", "}  // namespace", "");
lines.push("std::span<const File> files() { return all; }", "", "}  // namespace millrace::page", "");
writeFileSync(out, lines.join("\n"));
