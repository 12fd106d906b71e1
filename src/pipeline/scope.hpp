#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cache/versions.hpp"
#include "integration/freshness.hpp"

namespace millrace::catalog {
class Snapshot;
}

namespace millrace::pipeline {

/// What a database's catalogs hold, for whoever asks. Thread-safe.
struct CatalogSource {
  /// Null: not known at present.
  std::function<std::shared_ptr<const catalog::Snapshot>()> current;
  /// They may change, up to when the last copy of what it answers is gone: until then, and until they have been read
  /// anew, they aren't known.
  std::function<std::shared_ptr<const void>()> hold;
};

/// Sessions of one scope get the same answer to the same question: all that an answer may depend on besides the
/// question and the data is the same for them. Immutable and shared. Each part says which wrong answer it prevents.
struct Scope {
  bool wanted = false;       ///< answers from memory are; else it only says what its writes change
  std::uint32_t number = 0;  ///< stands for all of it in keys; never given twice

  std::string database;  ///< another database's table of the same name
  std::string user;      ///< what somebody else may read; current_user
  /// All that the client has set, in the order in which it did, but for what no answer shows (application_name,
  /// time-outs): TimeZone, DateStyle and kin change how values are read and written, search_path and role which table
  /// a name means, lc_* and collations how they are ordered. What it didn't set is the server's or the role's default,
  /// which belongs to the catalog's version.
  std::string settings = {};

  /// "": answers may be taken from memory. Else why not.
  std::string why_not = {};
  /// Which schemas names are looked up in. Null: not as the catalog says that sessions of the user do, nor known.
  struct SearchPath {
    bool is_default = true;
    std::string list = {};  ///< else
  };
  std::optional<SearchPath> search_path = SearchPath{};

  std::shared_ptr<const CatalogSource> source = {};
  std::shared_ptr<integration::Freshness> freshness = {};  ///< of the database; never null in a shared one
  /// When the user last wrote through Millrace, in whichever session: of `now_ns()`. Never null in a shared one.
  std::shared_ptr<std::atomic<std::int64_t>> wrote = {};

  cache::Dependency catalog = 0;     ///< what names mean, and who may read what
  cache::Dependency untold = 0;      ///< see ReadCache::of_untold
  cache::Dependency everything = 0;  ///< the data of all tables, where it isn't known which have changed
};

}  // namespace millrace::pipeline
