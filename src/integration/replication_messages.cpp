#include "integration/replication_messages.hpp"

#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::integration {
namespace {

std::uint64_t u64(pgwire::Reader& reader) {
  const std::uint64_t high = reader.u32();
  return high << 32 | reader.u32();
}

void append_u64(std::string& out, std::uint64_t value) {
  const auto swapped = std::byteswap(value);
  out.append(reinterpret_cast<const char*>(&swapped), sizeof swapped);
}

}  // namespace

Result<std::variant<XLogData, KeepAlive>> decode_copy_data(pgwire::Bytes body) {
  pgwire::Reader reader(body);
  switch (reader.u8()) {
    case 'w': {
      XLogData data;
      data.start = u64(reader);
      data.end = u64(reader);
      data.sent_at = static_cast<pgoutput::Timestamp>(u64(reader));
      data.data = reader.rest();
      if (reader.good()) return data;
      break;
    }
    case 'k': {
      KeepAlive alive;
      alive.end = u64(reader);
      alive.sent_at = static_cast<pgoutput::Timestamp>(u64(reader));
      alive.reply_requested = reader.u8() != 0;
      if (reader.finish()) return alive;
      break;
    }
    default:
      break;
  }
  return fail("the server sent a malformed replication message", "08P01");
}

void append_standby_status(std::string& out, pgoutput::Lsn lsn, pgoutput::Timestamp now, bool reply_requested) {
  std::string body(1, 'r');
  for (int i = 0; i < 3; ++i) append_u64(body, lsn);  // written, flushed, applied
  append_u64(body, static_cast<std::uint64_t>(now));
  body += static_cast<char>(reply_requested);
  pgwire::append_copy_data(out, body);
}

}  // namespace millrace::integration
