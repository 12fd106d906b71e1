#include "backend/embedded_store.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/log.hpp"

namespace millrace::backend {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_waiting = 64;
/// Where new files can't be read again either, it isn't the file that is broken.
constexpr std::uint64_t most_set_aside = 3;
constexpr mode_t for_us_only = 0700;
constexpr mode_t file_for_us_only = 0600;

std::string text_of(const Error& error) {
  return error.detail.empty() ? error.message : error.message + ": " + error.detail;
}

/// DuckDB makes files beside its own, as anybody's: so that nobody else reads those, they lie in a folder of ours.
Result<> make_folder(const std::string& folder) {
  if (mkdir(folder.c_str(), for_us_only) != 0 && errno != EEXIST) {
    return fail("could not make " + folder, std::string(duckdb_error::input_output), {}, std::strerror(errno));
  }
  if (chmod(folder.c_str(), for_us_only) != 0) {
    return fail("could not make " + folder + " ours alone", std::string(duckdb_error::input_output), {},
                std::strerror(errno));
  }
  return {};
}

std::uint64_t size_of(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace

EmbeddedStore::EmbeddedStore(std::string folder, std::vector<Part> parts, Times times)
    : folder_(std::move(folder) + "/store"),
      path_(folder_ + "/millrace.duckdb"),
      parts_(std::move(parts)),
      times_(times) {
  status_.path = path_;
}

EmbeddedStore::~EmbeddedStore() { stop(); }

void EmbeddedStore::start() {
  thread_ = std::thread([this] { run(); });
}

void EmbeddedStore::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<> EmbeddedStore::post(std::function<void(Result<DuckDb*>)> work) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return fail("the store is closed", std::string(duckdb_error::other));
    if (work_.size() >= most_waiting) return fail("too many wait for the store", "53400");
    work_.push_back(std::move(work));
  }
  wake_.notify_all();
  return {};
}

void EmbeddedStore::write_soon(std::string_view part) {
  {
    const std::scoped_lock lock(mutex_);
    const auto found = std::ranges::find(parts_, part, &Part::name);
    if (found == parts_.end() || std::ranges::find(soon_, &*found) != soon_.end()) return;
    soon_.push_back(&*found);
  }
  wake_.notify_all();
}

EmbeddedStore::Status EmbeddedStore::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

void EmbeddedStore::run() {
  open();
  auto next = Clock::now() + (database_ ? times_.between_writes : times_.before_retry);
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_until(lock, next, [this] { return stopping_ || !work_.empty() || (database_ && !soon_.empty()); });
    if (!work_.empty()) {
      const auto work = std::move(work_.front());
      work_.pop_front();
      const std::string why = status_.why;
      lock.unlock();
      if (database_) {
        work(&*database_);
        if (!database_->works()) open();
      } else {
        work(fail("the store isn't available", std::string(duckdb_error::other), {}, why));
      }
      lock.lock();
    } else if (stopping_) {
      break;
    } else if (database_ && !soon_.empty() && Clock::now() < next) {
      const Part& part = *soon_.front();
      soon_.erase(soon_.begin());
      lock.unlock();
      if (write(part, false)) note_size();
      lock.lock();
    } else if (Clock::now() >= next) {
      if (database_) soon_.clear();
      lock.unlock();
      database_ ? write(false) : open();
      next = Clock::now() + (database_ ? times_.between_writes : times_.before_retry);
      lock.lock();
    }
  }
  lock.unlock();
  if (database_) write(true);
  close();
}

void EmbeddedStore::close() {
  database_.reset();
  note_size();
  const std::scoped_lock lock(mutex_);
  status_.state = State::closed;
}

/// What fails is tried every minute.
void EmbeddedStore::say_once(std::string_view what, const Error& error) {
  if (const std::string why = text_of(error); std::exchange(said_, why) == why) return;
  log::error(what, {{"file", path_}, {"reason", error.message}, {"detail", error.detail}, {"hint", error.hint}});
}

void EmbeddedStore::unavailable(const Error& error) {
  database_.reset();
  say_once("the store is not available; nothing of this is kept, and it is tried again", error);
  const std::scoped_lock lock(mutex_);
  status_.state = State::unavailable;
  status_.why = text_of(error);
}

Result<DuckDb> EmbeddedStore::open_file() {
  if (auto made = make_folder(folder_); !made) return std::unexpected(std::move(made).error());
  auto database = DuckDb::open(path_);
  if (!database) return database;
  chmod(path_.c_str(), file_for_us_only);
  auto then = prepare(*database);
  if (!then) return std::unexpected(std::move(then).error());
  return then->empty() ? std::move(database) : write_anew(*std::move(database), *then);
}

/// If that is interrupted it is done again at the next start, as the old file still asks for it.
Result<DuckDb> EmbeddedStore::write_anew(DuckDb database, const std::string& then) {
  const std::string next = path_ + ".next";
  std::error_code error;
  fs::remove(next, error);
  fs::remove(next + ".wal", error);
  if (auto copied = database.copy_to(next, then); !copied) return std::unexpected(std::move(copied).error());
  {
    const DuckDb closed = std::move(database);
  }
  // Of what was in it the file has all now, and the other one, too.
  fs::remove(path_ + ".wal", error);
  fs::rename(next, path_, error);
  if (error) return fail("could not replace " + path_, std::string(duckdb_error::input_output), {}, error.message());
  chmod(path_.c_str(), file_for_us_only);
  log::info("the store was written anew, without what may not be kept", {{"file", path_}});
  return DuckDb::open(path_);
}

Result<std::string> EmbeddedStore::prepare(DuckDb& database) {
  std::string then;
  const auto done = database.in_transaction([&]() -> Result<> {
    if (auto made = database.run("CREATE TABLE IF NOT EXISTS parts(name VARCHAR, version INTEGER)"); !made) return made;
    for (const Part& part : parts_) {
      std::optional<std::int64_t> version;
      const auto take = [&](const DuckDbRows& row) -> Result<> {
        version = row.signed_number(0);
        return {};
      };
      auto found = database.each("SELECT version FROM parts WHERE name = ?", take, part.name);
      if (!found) return found;
      if (version && *version > part.version) {
        return fail("the store was written by a newer version of Millrace", std::string(duckdb_error::newer_version),
                    {}, part.name);
      }
      const auto prepared = part.prepare(database);
      if (!prepared) return std::unexpected(prepared.error());
      if (*prepared) then += **prepared + ";";
      if (version) continue;
      if (auto noted = database.run_with("INSERT INTO parts VALUES (?, ?)", part.name, part.version); !noted) {
        return noted;
      }
    }
    return {};
  });
  if (!done) return std::unexpected(done.error());
  return then;
}

void EmbeddedStore::open() {
  database_.reset();
  auto opened = open_file();
  if (!opened && opened.error().sqlstate == duckdb_error::corrupted && status_.set_aside < most_set_aside) {
    set_aside(opened.error());
    opened = open_file();
  }
  if (!opened) return unavailable(opened.error());
  database_ = *std::move(opened);
  said_.clear();
  log::info("the store is open", {{"file", path_}});
  note_size();
  const std::scoped_lock lock(mutex_);
  status_.state = State::open;
  status_.why.clear();
}

void EmbeddedStore::write(bool is_last) {
  bool is_whole = true;
  for (const Part& part : parts_) {
    is_whole &= write(part, is_last);
    if (!database_) return;
  }
  if (!is_whole) return;
  said_.clear();
  note_size();
  const std::scoped_lock lock(mutex_);
  status_.why.clear();
}

/// False: it can't be written.
bool EmbeddedStore::write(const Part& part, bool is_last) {
  const auto written = part.write(*database_, is_last);
  if (written) {
    const std::scoped_lock lock(mutex_);
    ++status_.written;
    return true;
  }
  {
    const std::scoped_lock lock(mutex_);
    ++status_.failed_writes;
    status_.why = text_of(written.error());
  }
  say_once("the store can't be written; this is tried again", written.error());
  if (written.error().sqlstate == duckdb_error::corrupted && status_.set_aside < most_set_aside) {
    database_.reset();
    set_aside(written.error());
    open();
  } else if (!database_->works()) {
    open();
  }
  note_size();
  return false;
}

void EmbeddedStore::set_aside(const Error& error) {
  std::error_code failed;
  std::string name;
  for (int number = 1; name.empty() || fs::exists(path_ + name, failed); ++number) {
    name = fmt::format(".unreadable.{}", number);
  }
  log::error("the store can't be read: it is set aside, and a new one begun",
             {{"file", path_}, {"now", path_ + name}, {"reason", error.message}, {"detail", error.detail}});
  fs::rename(path_, path_ + name, failed);
  fs::rename(path_ + ".wal", path_ + name + ".wal", failed);
  const std::scoped_lock lock(mutex_);
  ++status_.set_aside;
}

void EmbeddedStore::note_size() {
  const std::uint64_t bytes = size_of(path_) + size_of(path_ + ".wal");
  const std::scoped_lock lock(mutex_);
  status_.bytes = bytes;
}

}  // namespace millrace::backend
