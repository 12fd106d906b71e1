#pragma once

#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "catalog/catalog.hpp"
#include "gateway/change_streams.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::gateway {

struct Shared;

/// The catalogs of the databases that clients have asked for, each read and watched as DATABASE_URL's user on
/// connections of Millrace's own. Thread-safe.
class Catalogs {
 public:
  /// Reading is done on `io`'s thread; `shared` must outlive it.
  Catalogs(boost::asio::io_context& io, Shared& shared) : io_(io), shared_(shared), streams_(io, shared) {}
  ~Catalogs();

  /// `starts`: its catalogs are read and watched from now on; else nothing is known of them, unless they are already.
  std::shared_ptr<const pipeline::CatalogSource> of(const std::string& database, bool starts);
  /// Of the tables of this name, with or without a schema, what answers that read them depend on.
  std::vector<cache::Dependency> tables_of(std::string_view name);
  ChangeStreams& streams() { return streams_; }
  /// Nothing is known from then on.
  void stop();

 private:
  void start(const std::string& database);
  std::shared_ptr<catalog::Catalog> find(const std::string& database);

  boost::asio::io_context& io_;
  Shared& shared_;
  ChangeStreams streams_;
  std::mutex mutex_;
  bool stopped_ = false;
  std::map<std::string, std::shared_ptr<catalog::Catalog>> known_;
  boost::asio::thread_pool workers_{1};  ///< makes snapshots
};

}  // namespace millrace::gateway
