#pragma once

#include <span>
#include <string>
#include <string_view>

#include "catalog/snapshot.hpp"

namespace millrace::catalog {

/// What is asked of a server, from PostgreSQL 13 on. Each text is several statements, for one simple query; they are
/// one transaction, which sees one moment, takes no transaction id, and waits for no lock for more than a moment. Their
/// names mean PostgreSQL's own whatever the session's settings are, and leave the settings as they were. Rows begin
/// with a word that says what they are.

/// The catalogs' content but for definitions of views: rows that `read_snapshot.hpp` makes a Snapshot of, and the row
/// of `poll_sql("")`. It locks nothing.
std::string read_sql();

/// Definitions of views: more such rows. PostgreSQL writes them as they are now, whatever moment the transaction sees,
/// and takes the locks that a SELECT from them takes: so few at a time, as the server has room for some thousand locks.
std::string views_sql(std::span<const Oid> views);

/// One row: 'fingerprint', the moment, when the server's configuration was loaded as far as this connection knows, the
/// fingerprint of the catalogs, and the rows of pg_class that were perhaps written since `known_moment`, as OID:XMIN
/// apart by spaces. A row that was written again, and says what it has said, is in those only. The last two are NULL if
/// the moment is `known_moment`, as then all else is as it was.
std::string poll_sql(std::string_view known_moment);

}  // namespace millrace::catalog
