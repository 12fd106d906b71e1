#include "integration/replication_framing.hpp"

#include "pgwire/protocol/decode.hpp"

namespace millrace::integration {
namespace {

std::unexpected<Error> malformed() { return fail("the server sent a malformed replication message", "08P01"); }

}  // namespace

Result<std::size_t> ReplicationFraming::feed(pgwire::Bytes bytes) {
  std::size_t at = std::min(skip_, bytes.size());
  skip_ -= at;
  while (bytes.size() - at >= pgwire::header_size) {
    const auto header = pgwire::load_header(bytes.subspan(at));
    const bool whole = header.total() <= longest_message;
    if (!header.valid() || (!whole && header.type != pgwire::backend::copy_data)) return malformed();
    const std::size_t needed = whole ? header.total() : pgwire::header_size + length_of_beginning;
    if (bytes.size() - at < needed) break;
    auto done = on_message(header.type, bytes.subspan(at + pgwire::header_size, needed - pgwire::header_size), whole);
    if (!done) return std::unexpected(std::move(done).error());
    const std::size_t there = std::min(header.total(), bytes.size() - at);
    skip_ = header.total() - there;
    at += there;
  }
  return at;
}

Result<> ReplicationFraming::on_message(char type, pgwire::Bytes body, bool whole) {
  switch (type) {
    case pgwire::backend::copy_both_response:
      receiver_.on_started();
      return {};
    case pgwire::backend::copy_data:
      return on_copy_data(body, whole);
    case pgwire::backend::error_response: {
      const auto notice = pgwire::decode_notice(body);
      if (!notice) return std::unexpected(notice.error());
      return fail(std::string(notice->message()), std::string(notice->sqlstate()));
    }
    case pgwire::backend::notice_response:
    case pgwire::backend::parameter_status:
      return {};
    default:  // CopyDone, CommandComplete: the server shuts down
      return fail("the server ended the change stream", "08006");
  }
}

Result<> ReplicationFraming::on_copy_data(pgwire::Bytes body, bool whole) {
  const auto decoded = decode_copy_data(body);
  if (!decoded) return std::unexpected(decoded.error());
  if (const auto* data = std::get_if<XLogData>(&*decoded)) return receiver_.on_data(*data, whole);
  if (!whole) return malformed();
  receiver_.on_keep_alive(std::get<KeepAlive>(*decoded));
  return {};
}

}  // namespace millrace::integration
