#pragma once

#include <memory>
#include <string>
#include <vector>

#include "catalog/snapshot.hpp"

namespace millrace::catalog {

/// Makes a Snapshot: of what a server's catalogs hold, or by hand, in tests:
///
///     SnapshotBuilder builder;
///     const Oid orders = builder.table("public", "orders", {"id", "total"});
///     builder.function("random", 'v', true);
///     const auto snapshot = builder.build();
///
/// Belongs to one thread.
class SnapshotBuilder {
 public:
  SnapshotBuilder();

  void set_version(std::uint64_t version) { snapshot_->version = version; }
  void set_server_version(std::string version) { snapshot_->server_version = std::move(version); }
  void set_session_defaults(SessionDefaults defaults) { snapshot_->session_defaults = std::move(defaults); }
  void set_unsafe_casts(bool unsafe) { snapshot_->has_unsafe_casts = unsafe; }
  void set_own_casts(bool own) { snapshot_->has_own_casts = own; }

  /// Schemas that only hold relations needn't be named: everybody may use them, then.
  void schema(std::string name, bool everybodys = true);

  /// Its oid, which is made up where it has none. Its schema is made where there is none.
  Oid add(Relation relation);
  /// Of integers.
  Oid table(std::string schema, std::string name, std::vector<std::string> columns = {});
  Oid view(std::string schema, std::string name, sql::References definition);
  /// To change what was added. Null: none. Valid until the next is added.
  Relation* find(Oid oid);

  /// Both of these were added before; else nothing.
  void inherit(Oid child, Oid parent);
  /// Rows of `referencing` follow those of `referenced`.
  void cascade(Oid referenced, Oid referencing);

  /// One more of this name.
  void function(std::string_view name, char volatility, bool built_in, bool of_rows = false);
  void function(std::string_view name, const Functions& more);
  void operator_(std::string_view name, char volatility, bool built_in);
  void operator_(std::string_view name, const Functions& more);

  /// Its oid, which is made up where it has none.
  Oid type(Type type);
  void role(std::string name, Defaults defaults);

  /// Once.
  std::shared_ptr<const Snapshot> build();

 private:
  std::shared_ptr<Snapshot> snapshot_;
  Oid next_ = 1'000'000'000;  ///< for what has no oid of its own
};

}  // namespace millrace::catalog
