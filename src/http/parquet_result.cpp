#include "http/parquet_result.hpp"

#include <filesystem>

namespace millrace::http {
namespace {

/// So much is read at once. It was written just now, so it is in memory.
constexpr std::size_t part_bytes = std::size_t{64} << 10;

}  // namespace

Result<std::shared_ptr<const backend::ParquetFile>> as_parquet(const ResultPart& part) {
  if (part.columns->empty()) return fail("a result without columns can't be a Parquet file", "22023");
  std::error_code error;
  const auto folder = std::filesystem::temp_directory_path(error);
  if (error) return fail("there is no folder for temporary files", "58030", "Set TMPDIR.", error.message());
  auto names = member_names(*part.columns);
  std::vector<backend::ParquetColumn> columns;
  for (std::size_t at = 0; at < names.size(); ++at) {
    const auto& column = (*part.columns)[at];
    columns.push_back(
        {.name = std::move(names[at]), .type_oid = column.type_oid, .type_modifier = column.type_modifier});
  }
  executor::KeptRows::Reader reader(*part.rows, part.offset);
  const auto next = [&reader, left = part.limit](std::vector<executor::KeptRows::Value>& row) mutable {
    return left > 0 && left-- > 0 && reader.next(row);
  };
  auto file = backend::ParquetFile::write(folder.string(), columns, next, part.rows->rows(), part.rows->bytes());
  if (!file) return std::unexpected(std::move(file).error());
  return std::make_shared<const backend::ParquetFile>(*std::move(file));
}

asio::awaitable<void> send_file(std::shared_ptr<const backend::ParquetFile> file, BodyWriter& body) {
  for (std::uint64_t at = 0; at < file->size();) {
    const auto part = file->read(at, part_bytes);
    if (!part) throw std::runtime_error("a result's file can't be read: " + part.error().detail);
    if (!co_await body.write(*part)) co_return;
    at += part->size();
  }
}

}  // namespace millrace::http
