#include "gateway/client_reader.hpp"

#include <algorithm>
#include <cctype>
#include <memory>
#include <random>

#include "gateway/fuzz/parts.hpp"
#include "gateway/fuzz/require.hpp"
#include "pgwire/protocol/limits.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::gateway::fuzz {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;
using Found = ClientReader::Found;
using Needs = ClientReader::Needs;

/// In memory of its own: a read behind its end is found.
class Exactly {
 public:
  explicit Exactly(std::string_view text) : size_(text.size()), bytes_(std::make_unique<std::byte[]>(text.size())) {
    std::ranges::copy(std::as_bytes(std::span(text)), bytes_.get());
  }
  Bytes bytes() const { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte[]> bytes_;
};

struct Manner {
  std::uint32_t max_message;
  std::size_t enough;  ///< of a message, to be taken
  bool keeps_server;   ///< otherwise it is gone with each message that asks
};

Manner manner_of(std::byte how) {
  const auto bits = static_cast<unsigned>(how);
  constexpr std::uint32_t limits[] = {4, 64, 10'001, 1u << 30};
  constexpr std::size_t enough[] = {header_size, 11, 40, std::size_t{1} << 31};
  return {.max_message = limits[bits & 3], .enough = enough[bits >> 2 & 3], .keeps_server = (bits & 16) != 0};
}

bool is_broken(const pgwire::Header& header, std::uint32_t max_message) {
  return !header.valid() || header.length > max_message || header.length > frontend::max_length(header.type);
}

bool prepares(char type) { return std::string_view("PBDC").find(type) != std::string_view::npos; }

struct Need {
  Needs needs;
  std::size_t waiting;
  bool operator==(const Need&) const = default;
};

/// By the rule, for what is shorter than 64 KiB.
Need need_of(Bytes in, std::uint32_t max_message) {
  std::size_t at = 0;
  while (in.size() - at >= header_size) {
    const auto header = pgwire::load_header(in.subspan(at));
    if (is_broken(header, max_message)) return {Needs::server, at};
    if (header.type == frontend::terminate) return {Needs::goodbye, at};
    if (in.size() - at < header.total()) break;
    if (!prepares(header.type)) return {Needs::server, at};
    at += header.total();
  }
  return {Needs::nothing, at};
}

/// A client whose bytes come in parts, as the relay reads them.
class Reading {
 public:
  explicit Reading(Manner manner) : manner_(manner), reader_(manner.max_message) {}

  /// False: the connection is over.
  bool feed(std::string_view part) {
    waiting_ += part;
    const Exactly exactly(waiting_);
    Bytes in = exactly.bytes();
    while (step(in)) {
    }
    waiting_ = pgwire::as_text(in);
    return end_ == Found::nothing;
  }

  void check(std::string_view sent) const {
    std::string all;
    for (const auto& message : messages_) all += message.bytes;
    require(sent.starts_with(all + waiting_));
    for (std::size_t at = 0; at + 1 < messages_.size(); ++at) require(messages_[at].is_whole());
    require(reader_.mid_message() == (!messages_.empty() && !messages_.back().is_whole()));
    require((end_ == Found::broken) == !reader_.error().empty());
  }
  bool operator==(const Reading& other) const {
    return messages_ == other.messages_ && end_ == other.end_ && waiting_ == other.waiting_ &&
           reader_.error() == other.reader_.error();
  }

 private:
  struct Message {
    char type;
    std::size_t total;
    std::string bytes;
    bool is_whole() const { return bytes.size() == total; }
    bool operator==(const Message&) const = default;
  };

  bool step(Bytes& in) {
    ClientReader::Item item;
    const auto found = reader_.read(in, item);
    if (found == Found::item || found == Found::passing) require(item.message.data() == in.data());
    switch (found) {
      case Found::passing:
        require(!item.message.empty() && !messages_.back().is_whole());
        messages_.back().bytes += pgwire::as_text(item.message);
        in = in.subspan(item.message.size());
        forget_server();
        return true;
      case Found::item:
        require(!is_broken(pgwire::load_header(in), manner_.max_message));
        require(item.type == pgwire::load_header(in).type && item.total == pgwire::load_header(in).total());
        require(item.message.size() == std::min(in.size(), item.total));
        if (!has_server_ && !gets_server(in)) return false;
        if (item.message.size() < std::min(item.total, manner_.enough)) return false;
        reader_.take(item);
        require(reader_.waiting() == 0);
        messages_.push_back({item.type, item.total, std::string(pgwire::as_text(item.message))});
        in = in.subspan(item.message.size());
        forget_server();
        return true;
      case Found::nothing:
        return false;
      default:
        end_ = found;
        return false;
    }
  }

  bool gets_server(Bytes in) {
    const auto needs = reader_.needs_server(in);
    require(Need(needs, reader_.waiting()) == need_of(in, manner_.max_message));
    if (needs == Needs::goodbye) end_ = Found::terminate;
    has_server_ = needs == Needs::server;
    return has_server_;
  }
  void forget_server() {
    if (messages_.back().is_whole() && !prepares(messages_.back().type)) has_server_ = manner_.keeps_server;
  }

  const Manner manner_;
  ClientReader reader_;
  bool has_server_ = false;
  Found end_ = Found::nothing;
  std::string waiting_;
  std::vector<Message> messages_;
};

/// More bytes never change an answer, and one who was asked before says what one says who is asked for the first time.
void check_needs(std::string_view sent, std::uint32_t max_message) {
  ClientReader asked(max_message);
  auto last = Needs::nothing;
  for (std::size_t size = 0; size <= std::min<std::size_t>(sent.size(), 300); ++size) {
    const Exactly there(sent.substr(0, size));
    ClientReader fresh(max_message);
    const auto needs = asked.needs_server(there.bytes());
    require(needs == fresh.needs_server(there.bytes()) && asked.waiting() == fresh.waiting());
    require(Need(needs, asked.waiting()) == need_of(there.bytes(), max_message));
    require(last == Needs::nothing || last == needs);
    last = needs;
  }
}

void check_sequence_state(std::string_view sent) {
  const Exactly exactly(sent);
  std::string lower(sent);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  require(mentions_sequence_state(exactly.bytes()) == (lower.contains("currval") || lower.contains("lastval")));
}

}  // namespace

void client_reader(Bytes input) {
  if (input.size() < 2) return;
  const auto manner = manner_of(input[0]);
  std::minstd_rand random(static_cast<unsigned>(input[1]) + 1);
  const auto sent = pgwire::as_text(input.subspan(2));

  Reading whole(manner), sliced(manner), byte_by_byte(manner);
  whole.feed(sent);
  whole.check(sent);
  bool goes_on = true;
  for (std::size_t at = 0, size = 0; at < sent.size() && goes_on; at += size) {
    size = 1 + random() % 16;
    goes_on = sliced.feed(sent.substr(at, size));
    sliced.check(sent);
  }
  goes_on = true;
  for (std::size_t at = 0; at < std::min<std::size_t>(sent.size(), 500) && goes_on; ++at) {
    goes_on = byte_by_byte.feed(sent.substr(at, 1));
  }
  byte_by_byte.check(sent);
  check_needs(sent, manner.max_message);
  check_sequence_state(sent);
}

}  // namespace millrace::gateway::fuzz
