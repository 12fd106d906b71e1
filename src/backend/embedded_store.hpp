#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "backend/duckdb.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::backend {

/// What survives a restart, in a DuckDB file that this process alone has open. All that is done with it is done on a
/// thread of its own, so that a slow or full disk makes nobody wait but who asks for what is in it. Thread-safe.
///
/// The file is `store/millrace.duckdb` in the folder that is given; nobody else may read it. Where it can't be opened
/// (another process has it, a newer version wrote it, the disk is full) the store is unavailable, says why in its
/// status and once in the log, and tries again each minute. What can't be read is set aside: its name gets
/// ".unreadable" and a number at its end, and a new one is begun.
class EmbeddedStore {
 public:
  /// Something that is kept in it. Its functions are called on the store's thread; a failure makes the store doubt the
  /// file.
  struct Part {
    std::string name;
    int version = 1;  ///< of its tables; one that was made with a higher one isn't opened
    /// Makes its tables, where they aren't there. If it deletes something of which nothing may be left on the disk, it
    /// answers a statement: then the file is written anew, and that is run in the new one.
    std::function<Result<std::optional<std::string>>(DuckDb&)> prepare;
    /// What is to be kept, each minute and at the end, which `is_last`.
    std::function<Result<>(DuckDb&, bool is_last)> write;
  };

  enum class State : std::uint8_t { opening, open, unavailable, closed };
  struct Status {
    State state = State::opening;
    std::string why = {};  ///< it is unavailable
    std::string path = {};
    std::uint64_t bytes = 0;          ///< on disk
    std::uint64_t written = 0;        ///< batches
    std::uint64_t failed_writes = 0;  ///< batches; what was in them is in the next one, if its part still has it
    std::uint64_t set_aside = 0;      ///< files
  };

  struct Times {
    std::chrono::milliseconds between_writes{60'000};
    std::chrono::milliseconds before_retry{60'000};
  };

  EmbeddedStore(std::string folder, std::vector<Part> parts, Times times);
  /// Stops.
  ~EmbeddedStore();
  EmbeddedStore(const EmbeddedStore&) = delete;
  EmbeddedStore& operator=(const EmbeddedStore&) = delete;

  void start();
  /// Writes what is left, and closes the file.
  void stop();

  /// What `read(database)` answers, a Result; waits for `limit` at most. Not for an I/O thread. What it refers to must
  /// live until it was called or the store has stopped, also after an error.
  template <typename F>
  auto ask(F read, std::chrono::milliseconds limit) -> std::invoke_result_t<F&, DuckDb&> {
    using Answer = std::invoke_result_t<F&, DuckDb&>;
    const auto promise = std::make_shared<std::promise<Answer>>();
    auto answer = promise->get_future();
    auto refused = post([promise, read = std::move(read)](Result<DuckDb*> database) mutable {
      promise->set_value(database ? read(**database) : Answer(std::unexpected(std::move(database).error())));
    });
    if (!refused) return std::unexpected(std::move(refused).error());
    if (answer.wait_for(limit) != std::future_status::ready) return fail("the store gave no answer in time", "57014");
    return answer.get();
  }

  /// Does it later on the store's thread; an error is given where it isn't open. An error: too many wait.
  Result<> post(std::function<void(Result<DuckDb*>)> work);

  /// Has a part write before the minute is over, or once the file is open. Waits for nothing.
  void write_soon(std::string_view part);

  Status status() const;

 private:
  void run();
  void open();
  void close();
  Result<DuckDb> open_file();
  Result<std::string> prepare(DuckDb& database);
  Result<DuckDb> write_anew(DuckDb database, const std::string& then);
  void write(bool is_last);
  bool write(const Part& part, bool is_last);
  void set_aside(const Error& error);
  void say_once(std::string_view what, const Error& error);
  void unavailable(const Error& error);
  void note_size();

  const std::string folder_;
  const std::string path_;
  const std::vector<Part> parts_;
  const Times times_;

  // The store's thread's.
  std::optional<DuckDb> database_;
  std::string said_;  ///< in the log, last

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void(Result<DuckDb*>)>> work_;
  std::vector<const Part*> soon_;  ///< that are to write, each once
  Status status_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace millrace::backend
