#include "integration/pgoutput.hpp"

#include <algorithm>

#include "pgwire/protocol/reader.hpp"

namespace millrace::integration::pgoutput {
namespace {

using pgwire::Reader;

std::unexpected<Error> malformed() { return fail("the server sent a malformed message of its change stream", "08P01"); }

std::uint64_t u64(Reader& reader) {
  const std::uint64_t high = reader.u32();
  return high << 32 | reader.u32();
}

Timestamp timestamp(Reader& reader) { return static_cast<Timestamp>(u64(reader)); }

/// A message's fields. `ok` gathers what the reader itself doesn't know to be wrong.
struct Fields {
  Reader reader;
  bool in_block;
  bool ok = true;

  Xid xid() { return in_block ? reader.u32() : 0; }
  bool flag() {
    const auto value = reader.u8();
    ok &= value <= 1;
    return value == 1;
  }
  /// So many as the message may hold at most: its count may claim more.
  std::size_t at_most(std::size_t count, std::size_t bytes_of_each) const {
    return std::min(count, reader.rest().size() / bytes_of_each);
  }
  Tuple tuple() {
    Tuple values;
    const auto count = reader.u16();
    values.reserve(at_most(count, 1));
    for (std::size_t i = 0; i < count && reader.good() && ok; ++i) values.push_back(value());
    return values;
  }
  Value value() {
    const auto kind = static_cast<ValueKind>(reader.u8());
    switch (kind) {
      case ValueKind::null:
      case ValueKind::unchanged:
        return {kind};
      case ValueKind::text:
      case ValueKind::binary:
        return {kind, reader.bytes(reader.u32())};
    }
    ok = false;
    return {};
  }
};

Begin begin(Fields& in) {
  Begin out;
  out.commit_lsn = u64(in.reader);
  out.commit_time = timestamp(in.reader);
  out.xid = in.reader.u32();
  return out;
}

Commit commit(Fields& in) {
  Commit out;
  in.ok &= in.reader.u8() == 0;
  out.commit_lsn = u64(in.reader);
  out.end_lsn = u64(in.reader);
  out.commit_time = timestamp(in.reader);
  return out;
}

Origin origin(Fields& in) {
  Origin out;
  out.commit_lsn = u64(in.reader);
  out.name = in.reader.string();
  return out;
}

Relation relation(Fields& in) {
  Relation out;
  out.xid = in.xid();
  out.oid = in.reader.u32();
  out.schema = in.reader.string();
  out.name = in.reader.string();
  out.replica_identity = static_cast<char>(in.reader.u8());
  in.ok &= std::string_view("dnfi").contains(out.replica_identity);
  const auto count = in.reader.u16();
  out.columns.reserve(in.at_most(count, 10));
  for (std::size_t i = 0; i < count && in.reader.good() && in.ok; ++i) {
    Column column;
    column.in_identity = in.flag();
    column.name = in.reader.string();
    column.type = in.reader.u32();
    column.modifier = in.reader.i32();
    out.columns.push_back(column);
  }
  return out;
}

Type type(Fields& in) {
  Type out;
  out.xid = in.xid();
  out.oid = in.reader.u32();
  out.schema = in.reader.string();
  out.name = in.reader.string();
  return out;
}

Insert insert(Fields& in) {
  Insert out;
  out.xid = in.xid();
  out.relation = in.reader.u32();
  in.ok &= in.reader.u8() == 'N';
  out.row = in.tuple();
  return out;
}

bool is_old(std::uint8_t kind) { return kind == 'K' || kind == 'O'; }

Update update(Fields& in) {
  Update out;
  out.xid = in.xid();
  out.relation = in.reader.u32();
  auto kind = in.reader.u8();
  if (is_old(kind)) {
    out.old_kind = static_cast<OldRow>(kind);
    out.old_row = in.tuple();
    kind = in.reader.u8();
  }
  in.ok &= kind == 'N';
  out.row = in.tuple();
  return out;
}

Delete delete_(Fields& in) {
  Delete out;
  out.xid = in.xid();
  out.relation = in.reader.u32();
  const auto kind = in.reader.u8();
  in.ok &= is_old(kind);
  out.old_kind = static_cast<OldRow>(kind);
  out.old_row = in.tuple();
  return out;
}

Truncate truncate(Fields& in) {
  Truncate out;
  out.xid = in.xid();
  const auto count = in.reader.u32();
  const auto options = in.reader.u8();
  in.ok &= options <= 3;
  out.cascade = (options & 1) != 0;
  out.restart_identity = (options & 2) != 0;
  out.relations.reserve(in.at_most(count, sizeof(Oid)));
  for (std::size_t i = 0; i < count && in.reader.good(); ++i) out.relations.push_back(in.reader.u32());
  return out;
}

Message message(Fields& in) {
  Message out;
  out.xid = in.xid();
  out.transactional = in.flag();
  out.lsn = u64(in.reader);
  out.prefix = in.reader.string();
  out.content = in.reader.bytes(in.reader.u32());
  return out;
}

StreamStart stream_start(Fields& in) {
  StreamStart out;
  out.xid = in.reader.u32();
  out.first = in.flag();
  return out;
}

StreamCommit stream_commit(Fields& in) {
  StreamCommit out;
  out.xid = in.reader.u32();
  const auto rest = commit(in);
  out.commit_lsn = rest.commit_lsn;
  out.end_lsn = rest.end_lsn;
  out.commit_time = rest.commit_time;
  return out;
}

StreamAbort stream_abort(Fields& in) {
  StreamAbort out;
  out.xid = in.reader.u32();
  out.sub_xid = in.reader.u32();
  return out;
}

std::optional<Any> by_type(char letter, Fields& in) {
  switch (letter) {
    case 'R':
      return relation(in);
    case 'Y':
      return type(in);
    case 'I':
      return insert(in);
    case 'U':
      return update(in);
    case 'D':
      return delete_(in);
    case 'T':
      return truncate(in);
    case 'M':
      return message(in);
    case 'O':
      return origin(in);
    case 'E':
      return in.in_block ? std::optional<Any>(StreamStop{}) : std::nullopt;
    default:
      break;
  }
  if (in.in_block) return std::nullopt;
  switch (letter) {
    case 'B':
      return begin(in);
    case 'C':
      return commit(in);
    case 'S':
      return stream_start(in);
    case 'c':
      return stream_commit(in);
    case 'A':
      return stream_abort(in);
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<Any> decode(Bytes bytes, bool in_block) {
  Fields in{.reader = Reader(bytes), .in_block = in_block};
  auto decoded = by_type(static_cast<char>(in.reader.u8()), in);
  if (!decoded || !in.ok || !in.reader.finish()) return malformed();
  return *std::move(decoded);
}

Result<RowChange> decode_beginning(Bytes beginning, bool in_block) {
  Fields in{.reader = Reader(beginning), .in_block = in_block};
  RowChange out;
  out.type = static_cast<char>(in.reader.u8());
  out.xid = in.xid();
  out.relation = in.reader.u32();
  if (!in.reader.good() || !std::string_view("IUD").contains(out.type)) return malformed();
  return out;
}

}  // namespace millrace::integration::pgoutput
