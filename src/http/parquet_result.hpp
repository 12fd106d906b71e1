#pragma once

#include <memory>

#include "backend/parquet_file.hpp"
#include "http/body.hpp"
#include "http/job_result.hpp"

namespace millrace::http {

/// The rows as a Parquet file, among the system's temporary files. Takes as long as it takes: not on an I/O thread.
/// Errors: as ParquetFile::write, and 22023 where there are no columns.
Result<std::shared_ptr<const backend::ParquetFile>> as_parquet(const ResultPart& part);

/// Sends it as the client takes it.
asio::awaitable<void> send_file(std::shared_ptr<const backend::ParquetFile> file, BodyWriter& body);

}  // namespace millrace::http
