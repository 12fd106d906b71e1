// What of the relay sends once more what was sent, where that can't change what has happened: reads whose server
// connection is lost before anything of the answer has gone to the client. The relay goes back to where it was before
// they came; from there on their messages are the client's, as if they had come just now.
#include <array>

#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"

namespace millrace::gateway {
namespace {

using pgwire::Bytes;
namespace backend_type = pgwire::backend;

/// What PostgreSQL says as it ends a session: an administrator wants that, or it shuts down (57P01); another process
/// has crashed (57P02); it isn't ready (57P03).
constexpr std::array<std::string_view, 3> farewells = {"57P01", "57P02", "57P03"};
constexpr std::string_view another_crashed = farewells[1];

/// One of them, of an error or a notice, as which it comes where there is no time; "": it isn't.
std::string_view farewell_of(char type, Bytes body) {
  const auto notice = pgwire::decode_notice(body);
  if (!notice || (type == backend_type::error_response && notice->severity() == "ERROR")) return "";
  const auto found = std::ranges::find(farewells, notice->sqlstate());
  return found == farewells.end() ? "" : *found;
}

struct Farewell {
  std::string_view code;  ///< "": there is none
  bool is_error = false;  ///< nothing comes behind it; a notice may be of a function's
};

/// The one with which the bytes, which begin with a message, end, and have no row before.
Farewell farewell_in(Bytes in) {
  while (in.size() >= pgwire::header_size) {
    const auto header = pgwire::load_header(in);
    if (!header.valid() || in.size() < header.total()) return {};
    const Bytes body = in.subspan(pgwire::header_size, header.total() - pgwire::header_size);
    switch (header.type) {
      case backend_type::error_response:
        return {.code = farewell_of(header.type, body), .is_error = true};
      case backend_type::notice_response:
        if (in.size() == header.total()) return {.code = farewell_of(header.type, body)};
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
        return {};
    }
    in = in.subspan(header.total());
  }
  return {};
}

}  // namespace

/// The message at hand is about to be sent. `at`: where it is in the client's input.
void Relay::begin_unanswered(std::size_t at) {
  if (!replies_.nothing_under_way()) return;
  told_ = answers_.size();
  unanswered_.begin(options_.sends_again && !session_.stays, at);
}

/// What was executed is known to change nothing: `note_for_cache` has seen to that.
bool Relay::could_be_sent_again() const {
  if (!unanswered_.may() || !writer_.attached() || replies_.empty()) return false;
  if (replies_.status != 'I' || replies_.copy_in || replies_.skipping || reader_.mid_message()) return false;
  if (session_.pin.is_set() || session_.settings.changes_of_meaning().any()) return false;
  // What was told to end, for a limit of time or memory, has ended by that.
  return std::ranges::none_of(replies_.all(), [this](const Reply& reply) {
    return reply.own() || reply.exchange.rewrite || reply.number == exceeded_.number;
  });
}

/// By the catalogs as they are known by now: what waited for DDL to end was planned after it. Also what was only bound,
/// as PostgreSQL plans that, and checks its values.
bool Relay::changes_nothing_by_now() {
  return std::ranges::all_of(replies_.all(), [this](const Reply& reply) {
    using enum Reply::Kind;
    if (reply.kind != bind && reply.kind != query && reply.kind != execute) return true;
    const auto& statement = reply.exchange.statement;
    return statement && scope_.has_cache() &&
           pipeline_.effects_of(*scope_.of(session_.settings.current()), statement).changes_nothing;
  });
}

/// True: it is kept from the client, who may not have to hear of it, up to when more comes.
bool Relay::hears_farewell(Bytes in) {
  farewell_.clear();
  if (server_stream_left_ > 0 || !could_be_sent_again()) return false;
  const auto [code, is_error] = farewell_in(in);
  if (code.empty() || (unanswered_.times() > 0 && code != another_crashed)) return false;
  farewell_.assign(pgwire::as_text(in));
  ended_by_server_ = is_error;
  return true;
}

void Relay::cancel_before_sent() {
  no_server_ = Error{.message = "canceling statement due to user request", .sqlstate = "57014"};
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
  on_way();
  unanswered_.repeat();
  // It has had its turn, and is counted already. What it takes counts from when it came first.
  had_turn_ = true;
  is_charged_ = is_charged;
  if (wishes_) asked_at_ = since;
  waited_ns_ = now - since;
}

}  // namespace millrace::gateway
