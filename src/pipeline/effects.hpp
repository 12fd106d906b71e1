#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "catalog/snapshot.hpp"

namespace millrace::pipeline {

/// What a statement may do when it is executed now, by its text and the catalog. Valid until the pipeline is asked for
/// another's.
struct Effects {
  /// What it may change, by its kind; which tables is for the catalog to say.
  enum class Reach : std::uint8_t { nothing, data, everything, catalog };

  Reach reach = Reach::catalog;
  bool only_reads = false;       ///< and only what may be cached
  bool changes_nothing = false;  ///< so it may be run twice: see `pipeline::changes_nothing`
  bool names_tables = false;     ///< what it changes depends on what their names mean
  /// Whether all that it calls is known to set nothing, and to make nothing, that outlives it and isn't seen. Null:
  /// that can't be told yet.
  std::optional<bool> seen_through = false;
  bool lacks_relations = false;  ///< it can't be told for nothing but relations that it reads and that aren't known
  const std::vector<catalog::Oid>* tables = nullptr;  ///< that it may change; null: any
  bool may_define = true;                             ///< where that is null: what names mean, too
};

}  // namespace millrace::pipeline
