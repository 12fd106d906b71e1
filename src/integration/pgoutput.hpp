#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "pgwire/protocol/frame.hpp"

/// What PostgreSQL's output plugin `pgoutput` says, in its protocol's versions 1 and 2 (manual, chapter 55.9), one
/// message a call. What comes out points into the bytes that went in.
namespace millrace::integration::pgoutput {

using pgwire::Bytes;
using Oid = std::uint32_t;
using Xid = std::uint32_t;  ///< 0: none
using Lsn = std::uint64_t;  ///< a position in the server's log, in bytes
/// Microseconds since 2000-01-01 00:00 UTC, by the server's clock.
using Timestamp = std::int64_t;

// In each struct: `xid` is the transaction, or subtransaction, that a message within a stream's block belongs to; 0
// outside of one.

struct Begin {
  Lsn commit_lsn = 0;
  Timestamp commit_time = 0;
  Xid xid = 0;
};
struct Commit {
  Lsn commit_lsn = 0, end_lsn = 0;
  Timestamp commit_time = 0;
};
/// The transaction came from another server first.
struct Origin {
  Lsn commit_lsn = 0;
  std::string_view name;
};
struct Column {
  bool in_identity = false;  ///< of the replica identity
  std::string_view name;
  Oid type = 0;
  std::int32_t modifier = -1;
};
struct Relation {
  Xid xid = 0;
  Oid oid = 0;
  std::string_view schema;  ///< empty: pg_catalog
  std::string_view name;
  char replica_identity = 'd';  ///< pg_class.relreplident
  std::vector<Column> columns;  ///< without generated ones
};
struct Type {
  Xid xid = 0;
  Oid oid = 0;
  std::string_view schema, name;
};

enum class ValueKind : char {
  null = 'n',
  unchanged = 'u',  ///< a large value that is as it was before, which isn't said
  text = 't',
  binary = 'b',
};
struct Value {
  ValueKind kind = ValueKind::null;
  Bytes data = {};  ///< of text and binary
};
using Tuple = std::vector<Value>;  ///< in the order of the relation's columns

/// How much is known of a row as it was.
enum class OldRow : char {
  none = 'N',  ///< nothing; of an update: the identity's columns are as they were
  key = 'K',   ///< the columns of the replica identity; the others are said to be null
  full = 'O',  ///< all columns: REPLICA IDENTITY FULL
};
struct Insert {
  Xid xid = 0;
  Oid relation = 0;
  Tuple row;
};
struct Update {
  Xid xid = 0;
  Oid relation = 0;
  OldRow old_kind = OldRow::none;
  Tuple old_row, row;
};
struct Delete {
  Xid xid = 0;
  Oid relation = 0;
  OldRow old_kind = OldRow::key;  ///< never none
  Tuple old_row;
};
struct Truncate {
  Xid xid = 0;
  bool cascade = false, restart_identity = false;
  std::vector<Oid> relations;
};
/// pg_logical_emit_message
struct Message {
  Xid xid = 0;
  bool transactional = false;
  Lsn lsn = 0;
  std::string_view prefix;
  Bytes content;
};

// A large transaction comes in blocks before it ends: between a StreamStart and a StreamStop is nothing else.
struct StreamStart {
  Xid xid = 0;
  bool first = false;  ///< block of this transaction
};
struct StreamStop {};
struct StreamCommit {
  Xid xid = 0;
  Lsn commit_lsn = 0, end_lsn = 0;
  Timestamp commit_time = 0;
};
struct StreamAbort {
  Xid xid = 0;
  Xid sub_xid = 0;  ///< equal to `xid`: the whole transaction
};

using Any = std::variant<Begin, Commit, Origin, Relation, Type, Insert, Update, Delete, Truncate, Message, StreamStart,
                         StreamStop, StreamCommit, StreamAbort>;

/// `in_block`: whether it stands between a StreamStart and a StreamStop. Error: 08P01, it isn't what the protocol says.
Result<Any> decode(Bytes message, bool in_block);

/// What an Insert, Update or Delete begins with: enough where the rest is too long to be kept.
struct RowChange {
  char type = 0;  ///< 'I', 'U' or 'D'
  Xid xid = 0;
  Oid relation = 0;
};
/// Error: 08P01, it is none of them, or shorter than that.
Result<RowChange> decode_beginning(Bytes beginning, bool in_block);

}  // namespace millrace::integration::pgoutput
