#include "http/parquet_result.hpp"

#include <algorithm>
#include <filesystem>

#include "http/worker.hpp"

namespace millrace::http {
namespace {

/// So much is read at once. It was written just now, so it is in memory.
constexpr std::size_t part_bytes = std::size_t{64} << 10;

}  // namespace

Result<ParquetFilePtr> as_parquet(const ResultPart& part) {
  if (part.columns->empty()) return fail("a result without columns can't be a Parquet file", "22023");
  std::error_code error;
  const auto folder = std::filesystem::temp_directory_path(error);
  if (error) return fail("there is no folder for temporary files", "58030", "Set TMPDIR.", error.message());
  auto names = member_names(*part.columns, true);
  std::vector<backend::ParquetColumn> columns;
  for (std::size_t at = 0; at < names.size(); ++at) {
    const auto& column = (*part.columns)[at];
    columns.push_back(
        {.name = std::move(names[at]), .type_oid = column.type_oid, .type_modifier = column.type_modifier});
  }
  executor::KeptRows::Reader reader(*part.rows, part.offset);
  const auto next = [&reader, left = part.limit](std::vector<executor::KeptRows::Value>& row) mutable {
    if (Worker::is_stopping() || left == 0) return false;
    --left;
    return reader.next(row);
  };
  auto file = backend::ParquetFile::write(folder.string(), columns, next, part.rows->rows(), part.rows->bytes());
  if (Worker::is_stopping()) return fail("Millrace is shutting down", "57P01");
  if (!file) return std::unexpected(std::move(file).error());
  return std::make_shared<const backend::ParquetFile>(*std::move(file));
}

Result<ParquetFilePtr> ParquetFiles::of(const ResultPart& part) {
  forget_old();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& one : made_) {
      if (one.execution_id == part.execution_id && one.offset == part.offset && one.limit == part.limit)
        return one.file;
    }
    if (made_.size() >= most) {
      const auto unread = std::ranges::find_if(made_, [](const Made& one) { return !one.is_read(); });
      if (unread == made_.end()) return fail("as many results are being read as Parquet files as may be", "53400");
      made_.erase(unread);
    }
  }
  auto file = as_parquet(part);
  if (!file) return file;
  const std::lock_guard lock(mutex_);
  made_.emplace_back(part.execution_id, part.offset, part.limit, *file, Clock::now());
  return file;
}

void ParquetFiles::is_sent(const ParquetFilePtr& file) {
  const std::lock_guard lock(mutex_);
  std::erase_if(made_, [&](const Made& one) { return one.file == file; });
}

void ParquetFiles::forget_old() {
  const auto latest = Clock::now() - kept_for;
  const std::lock_guard lock(mutex_);
  std::erase_if(made_, [&](const Made& one) { return one.at <= latest && !one.is_read(); });
}

asio::awaitable<bool> send_file(ParquetFilePtr file, BodyWriter& body) {
  for (std::uint64_t at = 0; at < file->size();) {
    const auto part = file->read(at, part_bytes);
    if (!part) throw std::runtime_error("a result's file can't be read: " + part.error().detail);
    if (!co_await body.write(*part)) co_return false;
    at += part->size();
  }
  co_return true;
}

}  // namespace millrace::http
