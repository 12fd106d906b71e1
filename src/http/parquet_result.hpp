#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/parquet_file.hpp"
#include "base/clock.hpp"
#include "http/body.hpp"
#include "http/job_result.hpp"

namespace millrace::http {

using ParquetFilePtr = std::shared_ptr<const backend::ParquetFile>;

/// The rows as a Parquet file, among the system's temporary files. Takes as long as it takes: not on an I/O thread; it
/// fails when the process's workers are to stop. Errors: as ParquetFile::write, and 22023 where there are no columns.
Result<ParquetFilePtr> as_parquet(const ResultPart& part);

/// Results' files, of which there are a few at a time. Each is kept a while for whoever went away before it was made,
/// and comes again, if nobody else needs its place. Thread-safe, but for `of`, which is one thread's.
class ParquetFiles {
 public:
  static constexpr std::size_t most = 8;
  static constexpr std::chrono::seconds kept_for{60};

  /// What is there of this part already, or else is made. Errors: as as_parquet; 53400: as many as may be are read.
  Result<ParquetFilePtr> of(const ResultPart& part);
  /// It isn't kept for its reader any more.
  void is_sent(const ParquetFilePtr& file);
  /// Those that nobody has come for. Now and then.
  void forget_old();

 private:
  struct Made {
    std::string execution_id;
    std::uint64_t offset, limit;
    ParquetFilePtr file;
    TimePoint at;

    bool is_read() const { return file.use_count() > 1; }
  };
  std::mutex mutex_;
  std::vector<Made> made_;  ///< the oldest first
};

/// Sends it as the client takes it. False: it has gone away before it had all.
asio::awaitable<bool> send_file(ParquetFilePtr file, BodyWriter& body);

}  // namespace millrace::http
