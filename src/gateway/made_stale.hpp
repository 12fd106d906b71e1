#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "cache/versions.hpp"
#include "catalog/snapshot.hpp"
#include "integration/row_values.hpp"
#include "integration/transactions.hpp"
#include "pipeline/read_cache.hpp"
#include "pipeline/tracked_columns.hpp"

namespace millrace::gateway {

/// With those above it, whose readers see its rows; unless it is there already. `snapshot`: null: not known.
void add_with_ancestors(std::vector<catalog::Oid>& tables, catalog::Oid table, const catalog::Snapshot* snapshot);

/// What has changed for answers (`pipeline::ReadCache::of_...`) by a transaction that the change stream tells: the
/// tables, those above them, and of the columns that are tracked there the values that were and are, or that nobody
/// knows which. Perhaps more than that. `snapshot`: null: the catalogs aren't known at present. `row_values` says what
/// isn't told, and follows what is: it must be given all transactions, in their order. Looks at `tracked`, which is to
/// happen after the commit.
std::vector<cache::Dependency> made_stale_by(const integration::Transaction& done, std::string_view database,
                                             const catalog::Snapshot* snapshot, const pipeline::TrackedColumns& tracked,
                                             integration::RowValues& row_values);

/// What answers depend on that read tables or views which were written in pg_class, as for a while others may have had
/// the right to read them, or other tables their names. What has no rows of its own, or isn't known, counts for all.
pipeline::Changes changed_by_written(std::span<const catalog::Oid> relations, const catalog::Snapshot& known);

}  // namespace millrace::gateway
