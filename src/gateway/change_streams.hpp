#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "catalog/catalog.hpp"
#include "integration/change_stream.hpp"

namespace millrace::gateway {

namespace asio = boost::asio;

struct Shared;

/// The change stream of each database whose catalogs are watched: what is committed there, by whomever, makes stale
/// what is kept of the tables. Follows as DATABASE_URL's user. Thread-safe.
class ChangeStreams {
 public:
  /// The streams run on `io`'s thread; `shared` must outlive them.
  ChangeStreams(asio::io_context& io, Shared& shared) : io_(io), shared_(shared) {}

  /// Once for each database; does nothing where ENABLE_CHANGE_STREAM is off.
  void start(const std::string& database, std::shared_ptr<catalog::Catalog> catalog);
  /// The database's tables may have become others.
  void look(const std::string& database);
  /// The server may be another.
  void reconnect();
  std::vector<integration::StreamStatus> status() const;
  /// Ends all, and leaves nothing of them in PostgreSQL; then calls `done`, on any thread.
  void stop(std::function<void()> done);

 private:
  asio::io_context& io_;
  Shared& shared_;
  mutable std::mutex mutex_;
  bool stopped_ = false;
  std::map<std::string, std::shared_ptr<integration::ChangeStream>> streams_;
};

}  // namespace millrace::gateway
