#include "executor/job_record.hpp"

#include <algorithm>
#include <boost/describe/enum_from_string.hpp>
#include <boost/describe/enum_to_string.hpp>
#include <charconv>
#include <functional>
#include <utility>

namespace millrace::executor {
namespace {

using backend::Blob;
using backend::DuckDb;
using backend::DuckDbRows;
using Wall = QueryJob::Wall;
using Row = std::vector<KeptRows::Value>;

/// DuckDB has 2048 rows in memory at a time, and not much memory.
constexpr std::size_t piece_bytes = 4000;
/// The block that holds the result's columns.
constexpr std::uint64_t columns_block = ~std::uint64_t{0};
constexpr std::size_t any_size = std::size_t{1} << 40;

constexpr std::string_view fields =
    "id, server, status, runs, may_run_again, created_us, started_us, completed_us, query_id, user_id, project_id, "
    "priority, timeout_ms, memory_limit_mb, query, parameters, tag, error, row_count";

std::int64_t to_us(Wall time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
std::optional<std::int64_t> to_us(const std::optional<Wall>& time) {
  return time ? std::optional(to_us(*time)) : std::nullopt;
}
Wall of_us(std::int64_t us) { return Wall(std::chrono::microseconds(us)); }

/// Lists of values as bytes, as results have them.
std::string bytes_of(const std::vector<Row>& rows) {
  KeptRows kept(std::make_shared<ByteBudget>(any_size), any_size);
  for (const Row& row : rows) kept.add(row);
  std::string bytes;
  for (const auto& block : kept.blocks()) bytes += block.bytes;
  return bytes;
}

/// Empty, too, where it is something else.
std::vector<std::vector<std::optional<std::string>>> rows_of(std::string_view bytes) {
  KeptRows kept(std::make_shared<ByteBudget>(any_size), any_size);
  std::vector<std::vector<std::optional<std::string>>> rows;
  kept.add_block(std::string(bytes));
  KeptRows::Reader reader(kept, 0);
  for (Row row; reader.next(row);) rows.emplace_back(row.begin(), row.end());
  return rows;
}

std::string bytes_of(const QueryJob::Columns& columns) {
  std::string bytes;
  for (const auto& column : columns) {
    bytes += bytes_of({Row{column.name, std::to_string(column.type_oid), std::to_string(column.type_modifier)}});
  }
  return bytes;
}

QueryJob::Columns columns_in(std::string_view bytes) {
  QueryJob::Columns columns;
  for (auto& row : rows_of(bytes)) {
    // The third is missing in what an earlier version has written.
    if (row.size() < 2 || !row[0] || !row[1]) continue;
    auto& column = columns.emplace_back(std::move(*row[0]));
    const auto read = [&](std::size_t at, auto& number) {
      if (at < row.size() && row[at]) std::from_chars(row[at]->data(), row[at]->data() + row[at]->size(), number);
    };
    read(1, column.type_oid);
    read(2, column.type_modifier);
  }
  return columns;
}

Error error_of(std::string_view bytes) {
  const auto rows = rows_of(bytes);
  if (rows.empty() || rows.front().size() != 4) return {};
  const auto part = [&](std::size_t at) { return rows.front()[at].value_or(""); };
  return {.message = part(0), .sqlstate = part(1), .hint = part(2), .detail = part(3)};
}

std::string text(const DuckDbRows& row, std::size_t column) { return std::string(row.text(column)); }

JobRecord record_of(const DuckDbRows& row, Wall wall, std::int64_t now) {
  JobRecord record{.id = text(row, 0), .may_run_again = row.boolean(4)};
  auto& view = record.view;
  view.server = row.text(1);
  if (!boost::describe::enum_from_string(text(row, 2).c_str(), view.status)) view.status = QueryStatus::failed;
  view.runs = static_cast<std::uint32_t>(row.number(3));
  // What comes out as 0 would mean that it didn't happen; what is later than now, that the clock was put back.
  const auto at = [&](Wall then) {
    const std::int64_t ns = now - std::chrono::nanoseconds(std::max(wall - then, Wall::duration::zero())).count();
    return ns == 0 ? -1 : ns;
  };
  const auto time = [&](std::size_t column, std::int64_t& ns) -> std::optional<Wall> {
    if (row.is_null(column)) return std::nullopt;
    const Wall then = of_us(row.signed_number(column));
    ns = at(then);
    return then;
  };
  view.created = time(5, view.created_at).value_or(wall);
  view.started = time(6, view.started_at);
  view.completed = time(7, view.ended_at);
  if (has_ended(view.status) && !view.completed) view.completed = time(5, view.ended_at);
  record.request = {.query_id = text(row, 8),
                    .sql = text(row, 14),
                    .user_id = text(row, 9),
                    .project_id = text(row, 10),
                    .priority = parse_priority(std::to_string(row.signed_number(11))).value_or(Priority::normal),
                    .timeout = std::chrono::milliseconds(row.signed_number(12)),
                    .memory_limit_mb = static_cast<std::size_t>(row.number(13))};
  for (auto& parameter : rows_of(row.text(15))) {
    record.request.parameters.push_back(parameter.empty() ? std::nullopt : std::move(parameter.front()));
  }
  if (!row.is_null(16)) view.tag = text(row, 16);
  if (!row.is_null(17)) view.error = error_of(row.text(17));
  record.row_count = row.number(18);
  return record;
}

}  // namespace

Result<> make_job_tables(DuckDb& database) {
  return database.run(
      "CREATE TABLE IF NOT EXISTS jobs(id VARCHAR, server BLOB, status VARCHAR, runs UINTEGER, may_run_again BOOLEAN, "
      "created_us BIGINT, started_us BIGINT, completed_us BIGINT, query_id BLOB, user_id BLOB, project_id BLOB, "
      "priority INTEGER, timeout_ms BIGINT, memory_limit_mb UBIGINT, query BLOB, parameters BLOB, tag BLOB, "
      "error BLOB, row_count UBIGINT); "
      "CREATE TABLE IF NOT EXISTS job_results(job VARCHAR, first_row UBIGINT, place UBIGINT, bytes BLOB)");
}

Result<> write_job(DuckDb& database, const JobRecord& record) {
  const auto& view = record.view;
  const auto& asked = record.request;
  std::vector<Row> parameters;
  for (const auto& parameter : asked.parameters) parameters.push_back({parameter});
  const std::string given = bytes_of(parameters);
  const std::string error =
      view.error ? bytes_of({Row{view.error->message, view.error->sqlstate, view.error->hint, view.error->detail}})
                 : "";
  const auto blob_if = [](bool is_there, std::string_view bytes) {
    return is_there ? std::optional(Blob{bytes}) : std::nullopt;
  };
  return database.in_transaction([&]() -> Result<> {
    if (auto gone = database.run_with("DELETE FROM jobs WHERE id = ?", record.id); !gone) return gone;
    return database.run_with(
        fmt::format("INSERT INTO jobs({}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fields),
        record.id, Blob{view.server}, boost::describe::enum_to_string(view.status, ""), view.runs, record.may_run_again,
        to_us(view.created), to_us(view.started), to_us(view.completed), Blob{asked.query_id}, Blob{asked.user_id},
        Blob{asked.project_id}, static_cast<int>(asked.priority), asked.timeout.count(), asked.memory_limit_mb,
        Blob{asked.sql}, Blob{given}, blob_if(view.tag.has_value(), view.tag.value_or("")),
        blob_if(view.error.has_value(), error), record.row_count);
  });
}

Result<> write_result(DuckDb& database, const std::string& id, const QueryJob::View& view) {
  return database.in_transaction([&]() -> Result<> {
    if (auto gone = database.run_with("DELETE FROM job_results WHERE job = ?", id); !gone) return gone;
    auto table = database.append_to("job_results");
    if (!table) return std::unexpected(std::move(table).error());
    const auto add = [&](std::uint64_t number, std::string_view block) {
      for (std::size_t at = 0; at < block.size(); at += piece_bytes) {
        table->add(id, number, at, Blob{block.substr(at, piece_bytes)});
      }
    };
    if (view.columns) add(columns_block, bytes_of(*view.columns));
    for (const auto& block : view.rows->blocks()) add(block.first, block.bytes);
    return table->finish();
  });
}

Result<> delete_jobs(DuckDb& database, const std::vector<std::string>& ids) {
  for (const auto& id : ids) {
    for (const char* const sql : {"DELETE FROM jobs WHERE id = ?", "DELETE FROM job_results WHERE job = ?"}) {
      if (auto gone = database.run_with(sql, id); !gone) return gone;
    }
  }
  return {};
}

Result<std::vector<JobRecord>> read_jobs(DuckDb& database, std::int64_t now) {
  std::vector<JobRecord> records;
  const Wall wall = std::chrono::system_clock::now();
  const auto take = [&](const DuckDbRows& row) -> Result<> {
    records.push_back(record_of(row, wall, now));
    return {};
  };
  auto done = database.each(fmt::format("SELECT {} FROM jobs", fields), take);
  if (!done) return std::unexpected(std::move(done).error());
  // Not by DuckDB, which needs more memory for that than it has.
  std::ranges::sort(records, std::greater(), [](const JobRecord& record) { return record.view.created; });
  return records;
}

Result<> read_results(DuckDb& database, const std::function<void(std::string_view id, JobPiece piece)>& take) {
  const auto give = [&](const DuckDbRows& row) -> Result<> {
    take(row.text(0), {.block = row.number(1), .place = row.number(2), .bytes = text(row, 3)});
    return {};
  };
  return database.each("SELECT job, first_row, place, bytes FROM job_results", give);
}

std::shared_ptr<const QueryJob::Columns> columns_of(std::vector<JobPiece>& pieces) {
  std::ranges::sort(pieces, {}, [](const JobPiece& piece) { return std::pair(piece.block, piece.place); });
  const auto first = std::ranges::find(pieces, columns_block, &JobPiece::block);
  std::string bytes;
  for (auto next = first; next != pieces.end(); ++next) bytes += next->bytes;
  pieces.erase(first, pieces.end());
  return bytes.empty() ? nullptr : std::make_shared<const QueryJob::Columns>(columns_in(bytes));
}

void add_rows(KeptRows& rows, std::vector<JobPiece>& pieces) {
  for (auto next = pieces.begin(); next != pieces.end();) {
    const auto block = next->block;
    std::string bytes;
    for (; next != pieces.end() && next->block == block; ++next) {
      bytes += next->bytes;
      next->bytes = {};
    }
    if (block != rows.rows() || !rows.add_block(std::move(bytes))) return;
  }
}

}  // namespace millrace::executor
