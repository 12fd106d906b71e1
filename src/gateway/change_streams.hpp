#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "catalog/catalog.hpp"
#include "integration/change_stream.hpp"
#include "integration/row_reader.hpp"

namespace millrace::gateway {

namespace asio = boost::asio;

struct Shared;

/// The change stream of each database whose catalogs are watched: what is committed there, by whomever, makes stale
/// what is kept of the tables. Follows as DATABASE_URL's user. Thread-safe.
class ChangeStreams {
 public:
  /// Is told, on `io`'s thread, when a database isn't there (any more).
  using Missing = std::function<void(const std::string& database)>;
  /// The streams run on `io`'s thread; `shared` must outlive them.
  ChangeStreams(asio::io_context& io, Shared& shared, Missing missing)
      : io_(io), shared_(shared), missing_(std::move(missing)) {}

  /// One for each database; does nothing where ENABLE_CHANGE_STREAM is off. `catalog`: of the database; null: it isn't
  /// watched yet, so nothing is kept.
  using CatalogOf = std::function<std::shared_ptr<catalog::Catalog>()>;
  void start(const std::string& database, CatalogOf catalog);
  /// Ends the database's, and leaves nothing of it in PostgreSQL; then calls `done`, on any thread. It may be started
  /// again after that.
  void end(const std::string& database, std::function<void()> done);
  /// The database's tables may have become others.
  void look(const std::string& database);
  /// The server may be another.
  void reconnect();
  /// Nobody can reach the server.
  void lose();
  std::vector<integration::StreamStatus> status() const;
  /// Ends all, and leaves nothing of them in PostgreSQL; then calls `done`, on any thread.
  void stop(std::function<void()> done);

 private:
  asio::io_context& io_;
  Shared& shared_;
  const Missing missing_;
  mutable std::mutex mutex_;
  bool stopped_ = false;
  struct Followed {
    std::shared_ptr<integration::ChangeStream> stream;
    std::shared_ptr<integration::RowReader> rows;
  };
  std::map<std::string, Followed> streams_;
  std::vector<std::weak_ptr<integration::ChangeStream>> ending_;
  std::map<std::string, std::shared_ptr<std::string>> logged_;  ///< of ChangeStreamParts
};

}  // namespace millrace::gateway
