#include "gateway/fuzz/relay_exchange.hpp"

#include "gateway/fuzz/require.hpp"
#include "pgwire/protocol/limits.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::gateway::fuzz {
namespace {

using pgwire::Bytes;

/// Small, so that short inputs meet them.
constexpr sql::ParseLimits limits{.inline_bytes = 48, .max_bytes = 256};
constexpr std::uint32_t max_message = 1u << 20;

QueryPerformanceMonitor& monitor() {
  static QueryPerformanceMonitor one(1, pipeline::statement_kind_labels());
  return one;
}

std::shared_ptr<const backend::ParameterList> usual_parameters() {
  return std::make_shared<backend::ParameterList>(
      backend::ParameterList{{"standard_conforming_strings", "on"}, {"client_encoding", "UTF8"}});
}

bool holds_millrace(Bytes bytes) {
  const auto same_letter = [](char a, char b) { return (a | 0x20) == b; };
  return !std::ranges::search(pgwire::as_text(bytes), std::string_view("millrace"), same_letter).empty();
}

/// Follows the frames of a stream of messages.
class Frames {
 public:
  void follow(Bytes bytes) {
    while (!bytes.empty()) {
      if (left_ == 0) {
        while (header_.size() < pgwire::header_size && !bytes.empty()) {
          header_.push_back(bytes.front());
          bytes = bytes.subspan(1);
        }
        if (header_.size() < pgwire::header_size) return;
        const auto header = pgwire::load_header(header_);
        require(header.valid());
        left_ = header.total() - pgwire::header_size;
        header_.clear();
      }
      const auto part = std::min<std::size_t>(left_, bytes.size());
      left_ -= part;
      bytes = bytes.subspan(part);
    }
  }
  bool between_messages() const { return left_ == 0 && header_.empty(); }

 private:
  std::vector<std::byte> header_;
  std::size_t left_ = 0;
};

class Exchange {
 public:
  explicit Exchange(Relay::Mode mode)
      : mode_(mode),
        relay_(pipeline_, texts_, {.mode = mode, .max_message = max_message, .user = "u", .database = "d"}) {
    for (auto& server : servers_) server.parameters = usual_parameters();
    relay_.settings().parameters = servers_[0].parameters;
    if (mode == Relay::Mode::session) return;  // so that all is passed on as it came
    relay_.settings().start_with(std::make_shared<const backend::Settings>(
        backend::Settings{{"application_name", "SET application_name TO 'fuzz'"}}));
  }

  /// False: the connection is over.
  bool from_client(Bytes bytes) {
    waiting_client_.insert(waiting_client_.end(), bytes.begin(), bytes.end());
    asks_millrace_ |= holds_millrace(waiting_client_);
    for (;;) {
      const auto step = relay_.from_client(waiting_client_, now_);
      require(step.answer.empty() || (mode_ == Relay::Mode::transaction && !attached_) || asks_millrace_);
      to_client_.append(reinterpret_cast<const char*>(step.answer.data()), step.answer.size());
      client_frames_.follow(step.answer);
      require(client_frames_.between_messages() || step.answer.empty());
      require(relay_.waiting() <= waiting_client_.size());
      pass(waiting_client_, step.used, step.forward, to_server_, server_frames_);
      require(relay_.client_mid_message() == !server_frames_.between_messages());
      consume(waiting_client_, step.used);
      switch (step.next) {
        case Relay::Next::more:
          require(waiting_client_.size() <= pgwire::small_message_limit + limits.max_bytes + 64 * 1024);
          return true;
        case Relay::Next::need_server:
          require(!attached_);
          relay_.attach(servers_[++leases_ % 2]);
          attached_ = true;
          break;
        case Relay::Next::parse: {
          const std::string to_parse = relay_.take_to_parse();
          require(to_parse.size() > limits.inline_bytes && to_parse.size() <= limits.max_bytes);
          relay_.parsed(sql::parse(to_parse));
          break;
        }
        case Relay::Next::turn:
          require(false);  // without an executor nothing waits for one
          break;
        case Relay::Next::elsewhere:
          break;
        case Relay::Next::answer:
          require(relay_.asking() && relay_.query_under_way());
          waits_for_answer_ = true;
          return true;
        case Relay::Next::terminate:
          return false;
        case Relay::Next::broken:
          require(!relay_.error().sqlstate.empty());
          return false;
      }
    }
  }

  bool from_server(Bytes bytes) {
    // What the relay holds back until its question is answered has no answer before.
    while (waits_for_answer_ && !bytes.empty()) {
      if (!hear(bytes.first(1))) return false;
      bytes = bytes.subspan(1);
    }
    return bytes.empty() || hear(bytes);
  }

  /// A token says when it was made, and is the same whether what asks for it comes whole or in parts.
  void later() { ++now_; }

  /// As a session does when all bytes of the server are used.
  void let_go() {
    if (!relay_.releasable()) return;
    require(attached_ && mode_ == Relay::Mode::transaction);
    require(!relay_.query_under_way() && !relay_.unsynced() && !relay_.in_copy());
    require(!relay_.client_mid_message() && !relay_.server_mid_message() && relay_.transaction_status() == 'I');
    require(server_frames_.between_messages() && client_frames_.between_messages());
    require(relay_.ending().empty());
    if (!waiting_server_.empty()) return;
    relay_.detach();
    attached_ = false;
  }

  /// The client is gone; what it left half done is brought to an end.
  void end() {
    if (!attached_) return;
    const bool mid_message = relay_.client_mid_message();
    const std::string ending = relay_.ending();
    require(!mid_message || ending.empty());
    server_frames_.follow(std::as_bytes(std::span(ending)));
    require(mid_message || server_frames_.between_messages());
  }

  bool operator==(const Exchange& other) const {
    const auto state = [](const Exchange& exchange) {
      const Relay& relay = exchange.relay_;
      return std::tuple(exchange.attached_, exchange.leases_, relay.releasable(), relay.query_under_way(),
                        relay.unsynced(), relay.in_copy(), relay.transaction_status(), relay.pinned(),
                        relay.fatal_seen(),
                        relay.settings().current() ? *relay.settings().current() : backend::Settings{});
    };
    return to_server_ == other.to_server_ && to_client_ == other.to_client_ && state(*this) == state(other);
  }

 private:
  bool hear(Bytes bytes) {
    if (!attached_) return true;
    waiting_server_.insert(waiting_server_.end(), bytes.begin(), bytes.end());
    const auto step = relay_.from_server(waiting_server_, now_);
    pass(waiting_server_, step.used, step.forward, to_client_, client_frames_);
    require(relay_.server_mid_message() == !client_frames_.between_messages());
    consume(waiting_server_, step.used);
    if (step.broken) return false;
    if (relay_.asking() || !std::exchange(waits_for_answer_, false)) return true;
    return from_client({});
  }

  void pass(const std::vector<std::byte>& in, std::size_t used, Bytes forward, std::string& out, Frames& frames) {
    require(used <= in.size());
    const bool as_it_came = forward.data() == in.data() && forward.size() == used;
    require(as_it_came || mode_ == Relay::Mode::transaction || forward.empty() || asks_millrace_);
    out.append(reinterpret_cast<const char*>(forward.data()), forward.size());
    frames.follow(forward);
  }
  static void consume(std::vector<std::byte>& waiting, std::size_t used) {
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(used));
  }

  const Relay::Mode mode_;
  pipeline::Pipeline pipeline_{0, monitor(), limits};
  PreparedTexts texts_{"mr_"};
  std::array<backend::ServerState, 2> servers_;
  Relay relay_;
  bool attached_ = false;
  bool waits_for_answer_ = false;
  /// EXPLAIN (MILLRACE) is answered in any mode, at any time; what it has prepared, the server gets when it must.
  bool asks_millrace_ = false;
  std::size_t leases_ = 0;
  std::int64_t now_ = 0;
  std::vector<std::byte> waiting_client_, waiting_server_;
  std::string to_server_, to_client_;
  Frames server_frames_, client_frames_;
};

struct Record {
  bool by_server;
  Bytes bytes;
};

/// The next record, and `input` after it.
Record take_record(Bytes& input) {
  const std::uint16_t head = pgwire::load_u16(input.data());
  input = input.subspan(2);
  const auto length = std::min<std::size_t>(head & 0x7fff, input.size());
  const Record record{(head & 0x8000) != 0, input.first(length)};
  input = input.subspan(length);
  return record;
}

Relay::Mode take_mode(Bytes& input) {
  const bool transaction = (input.front() & std::byte{1}) != std::byte{0};
  input = input.subspan(1);
  return transaction ? Relay::Mode::transaction : Relay::Mode::session;
}

}  // namespace

bool relay(Bytes input) {
  if (input.empty()) return true;
  Exchange exchange(take_mode(input));
  bool going_on = true;
  while (going_on && input.size() >= 2) {
    const auto record = take_record(input);
    exchange.later();
    going_on = record.by_server ? exchange.from_server(record.bytes) : exchange.from_client(record.bytes);
    if (going_on) exchange.let_go();
  }
  exchange.end();
  return input.empty();
}

void relay_sliced(Bytes input) {
  if (input.empty()) return;
  const auto mode = take_mode(input);
  Exchange whole(mode), sliced(mode);
  while (input.size() >= 2) {
    const auto record = take_record(input);
    if (record.bytes.empty()) continue;
    whole.later();
    sliced.later();
    const bool going_on = record.by_server ? whole.from_server(record.bytes) : whole.from_client(record.bytes);
    bool sliced_going_on = true;
    for (std::size_t at = 0; at < record.bytes.size() && sliced_going_on; ++at) {
      const auto byte = record.bytes.subspan(at, 1);
      sliced_going_on = record.by_server ? sliced.from_server(byte) : sliced.from_client(byte);
    }
    require(going_on == sliced_going_on && whole == sliced);
    if (!going_on) break;
    whole.let_go();
    sliced.let_go();
    require(whole == sliced);
  }
}

}  // namespace millrace::gateway::fuzz
