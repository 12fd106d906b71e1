// What of the relay sends once more what was sent, where that can't change what has happened: reads whose server
// connection is lost before anything of the answer has gone to the client. The relay goes back to where it was before
// they came; from there on their messages are the client's, as if they had come just now.
#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"

namespace millrace::gateway {
namespace {

using pgwire::Bytes;
namespace backend_type = pgwire::backend;

/// What PostgreSQL says as it ends a session whose client has done nothing for it: an administrator wants that, or it
/// shuts down (57P01); another process has crashed (57P02); it isn't ready (57P03). As a notice where it has no time.
bool is_farewell(char type, Bytes body) {
  const auto notice = pgwire::decode_notice(body);
  if (!notice) return false;
  const std::string_view code = notice->sqlstate();
  if (code != "57P01" && code != "57P02" && code != "57P03") return false;
  return type == backend_type::notice_response || notice->severity() == "FATAL" || notice->severity() == "PANIC";
}

/// Whether that is what the bytes, which begin with a message, come to before there is a row.
bool holds_farewell(Bytes in) {
  while (in.size() >= pgwire::header_size) {
    const auto header = pgwire::load_header(in);
    if (!header.valid() || in.size() < header.total()) return false;
    const Bytes body = in.subspan(pgwire::header_size, header.total() - pgwire::header_size);
    switch (header.type) {
      case backend_type::error_response:
        return is_farewell(header.type, body);
      case backend_type::notice_response:
        if (is_farewell(header.type, body)) return true;
        break;
      case backend_type::parse_complete:
      case backend_type::bind_complete:
      case backend_type::close_complete:
      case backend_type::parameter_description:
      case backend_type::row_description:
      case backend_type::no_data:
      case backend_type::parameter_status:
        break;
      default:
        return false;
    }
    in = in.subspan(header.total());
  }
  return false;
}

}  // namespace

/// The message at hand is about to be sent. `at`: where it is in the client's input.
void Relay::begin_unanswered(std::size_t at) {
  if (!replies_.nothing_under_way()) return;
  told_ = answers_.size();
  unanswered_.begin(options_.sends_again && session_.moves && !session_.stays && replies_.status == 'I' &&
                        session_.held_begin.empty(),
                    at);
}

bool Relay::may_be_sent_again() const {
  if (!unanswered_.may() || !writer_.attached() || replies_.empty()) return false;
  if (replies_.status != 'I' || replies_.copy_in || replies_.skipping || reader_.mid_message()) return false;
  if (session_.pin.is_set() || changes_.any() || session_.settings.changes_of_meaning().any()) return false;
  // What was told to end, for a limit of time or memory, has ended by that.
  return std::ranges::none_of(replies_.all(), [this](const Reply& reply) {
    return reply.own() || reply.exchange.rewrite || reply.number == exceeded_.number;
  });
}

/// True: it is kept from the client, who may not have to hear of it.
bool Relay::hears_farewell(Bytes in) {
  if (server_stream_left_ > 0 || !may_be_sent_again() || !holds_farewell(in)) return false;
  farewell_.assign(pgwire::as_text(in));
  return true;
}

void Relay::take_back(std::int64_t now) {
  now_ = now;
  const Reply* const first = runs_now();
  const bool is_another = !unanswered_.bytes().empty();  // than the message at hand was
  const bool is_charged = is_charged_ && !is_another;
  std::int64_t since = asked_at_ != 0 && !is_another ? asked_at_ : now;  // it came first
  if (first != nullptr) since = first->exchange.started - first->exchange.waited;
  const auto owed = replies_.all();
  for (std::size_t at = owed.size(); at-- > 0;) session_.names.undo(owed[at], {});
  replies_.forget();
  session_.names.on_all_answered();
  doubt_ = false;
  bound_.reset();
  bound_use_ = CacheUse::none;
  bound_text_.reset();
  server_stream_left_ = 0;
  farewell_.clear();
  reader_.answered();
  on_way();
  unanswered_.repeat();
  // It has had its turn, and is counted already. What it takes counts from when it came first.
  had_turn_ = true;
  is_charged_ = is_charged;
  if (wishes_) asked_at_ = since;
  waited_ns_ = now - since;
}

}  // namespace millrace::gateway
