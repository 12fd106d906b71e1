#pragma once

#include <string>
#include <variant>

#include "base/result.hpp"
#include "integration/pgoutput.hpp"

/// What CopyData messages hold while a server sends its changes (manual, chapter 55.4).
namespace millrace::integration {

struct XLogData {
  pgoutput::Lsn start = 0, end = 0;
  pgoutput::Timestamp sent_at = 0;
  pgwire::Bytes data;  ///< one message of the output plugin
};
struct KeepAlive {
  pgoutput::Lsn end = 0;  ///< the server has looked at all before it
  pgoutput::Timestamp sent_at = 0;
  bool reply_requested = false;
};

/// How many bytes of a CopyData's body come before XLogData's data.
inline constexpr std::size_t xlog_data_header = 25;

/// Points into `body`. Error: 08P01.
Result<std::variant<XLogData, KeepAlive>> decode_copy_data(pgwire::Bytes body);

/// A whole CopyData message: all before `lsn` is dealt with and needn't be kept for us.
void append_standby_status(std::string& out, pgoutput::Lsn lsn, pgoutput::Timestamp now, bool reply_requested);

}  // namespace millrace::integration
