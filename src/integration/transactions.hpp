#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "integration/pgoutput.hpp"
#include "integration/row.hpp"

namespace millrace::integration {

using pgoutput::Lsn;
using pgoutput::Oid;
using pgoutput::Xid;

/// A table as its changes are told.
struct Table {
  struct Column {
    std::string name;
    Oid type = 0;
    std::int32_t modifier = -1;
    bool in_identity = false;
    bool operator==(const Column&) const = default;
  };
  Oid oid = 0;
  std::string schema, name;
  char replica_identity = 'd';
  std::vector<Column> columns;  ///< without generated ones
  bool operator==(const Table&) const = default;
};

struct Change {
  enum class Kind { insert, update, delete_ };
  Kind kind = Kind::insert;
  Xid xid = 0;  ///< in a large transaction the subtransaction's; else the transaction's
  std::shared_ptr<const Table> table;
  pgoutput::OldRow old_kind = pgoutput::OldRow::none;
  Row old_row;  ///< of update and delete, as far as `old_kind` says
  Row row;      ///< of insert and update
};

/// What a transaction has changed, once it is committed. The tables are those that hold the rows: partitions, not what
/// they are partitions of.
struct Transaction {
  Xid xid = 0;
  Lsn commit_lsn = 0, end_lsn = 0;
  pgoutput::Timestamp commit_time = 0;
  std::vector<Oid> tables;     ///< all that were changed in any way; sorted
  std::vector<Oid> truncated;  ///< of them; sorted
  bool everything = false;     ///< there were too many tables to remember: any
  std::vector<Change> changes;
  bool all_changes = true;                              ///< false: too many or too large to be kept: none is
  std::uint64_t rows = 0;                               ///< how many were changed, kept or not
  std::vector<std::shared_ptr<const Table>> described;  ///< anew: perhaps as they were when they were told last
};

struct TransactionLimits {
  std::size_t bytes = std::size_t{4} << 20;       ///< of the changes that are kept of a transaction
  std::size_t all_bytes = std::size_t{32} << 20;  ///< of all that are under way
  std::size_t tables = 10'000;                    ///< that are remembered of a transaction, times its subtransactions
  std::size_t large_transactions = 10'000;        ///< under way at a time; a server that claims more is broken
};

/// Puts the messages of a change stream together to transactions. Nothing of one is told before its commit, and what
/// was rolled back isn't told at all, or counts as a change of its table.
class Transactions {
 public:
  explicit Transactions(TransactionLimits limits = {}) : limits_(limits) {}

  /// The next message. `whole`: false: only its beginning is here, as it is very long. Answers what it has committed.
  /// Error: 08P01, the stream isn't what it must be, and can't be followed any further.
  Result<std::optional<Transaction>> feed(pgwire::Bytes message, bool whole = true);

  /// Whether what was told so far is complete: no transaction is under way.
  bool between_transactions() const { return !current_ && large_.empty(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Open {
    Open() : pairs(0), bytes(0) {}
    Transaction transaction;
    std::map<Xid, std::vector<Oid>> tables;  ///< by subtransaction; each sorted
    std::map<Xid, std::vector<Oid>> truncated;
    std::map<Oid, std::shared_ptr<const Table>> described;
    std::size_t pairs;  ///< in `tables`
    std::size_t bytes;  ///< of changes
  };
  using Done = Result<std::optional<Transaction>>;

  Done on(const pgoutput::Begin& begin);
  Done on(const pgoutput::Commit& commit);
  Done on(const pgoutput::Origin& origin);
  Done on(const pgoutput::Relation& relation);
  Done on(const pgoutput::Type& type);
  Done on(const pgoutput::Insert& insert);
  Done on(const pgoutput::Update& update);
  Done on(const pgoutput::Delete& deleted);
  Done on(const pgoutput::Truncate& truncate);
  Done on(const pgoutput::Message& message);
  Done on(const pgoutput::StreamStart& start);
  Done on(const pgoutput::StreamStop& stop);
  Done on(const pgoutput::StreamCommit& commit);
  Done on(const pgoutput::StreamAbort& abort);

  /// Null: none is under way.
  Open* open();
  std::shared_ptr<const Table> table(const Open& open, Oid oid) const;
  Done row_changed(Xid xid, Oid relation, Change change);
  void touch(Open& open, Xid xid, Oid table);
  void drop_changes(Open& open);
  void roll_back(Open& open, Xid sub_xid);
  Transaction finish(Open open, Lsn commit_lsn, Lsn end_lsn, pgoutput::Timestamp time);

  TransactionLimits limits_;
  std::map<Oid, std::shared_ptr<const Table>> tables_;
  std::optional<Open> current_;
  std::map<Xid, Open> large_;
  Xid block_ = 0;  ///< the large transaction that the messages belong to now
  std::size_t bytes_ = 0;
};

}  // namespace millrace::integration
