#include "gateway/client_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "pgwire/protocol/limits.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;

/// Of messages that only prepare: so much must be there before a server connection is asked for.
constexpr std::size_t enough_for_a_server = 64 * 1024;

bool only_prepares(char type) {
  return type == frontend::parse || type == frontend::bind || type == frontend::describe || type == frontend::close;
}

bool is_known(char type) { return frontend::max_length(type) > 0; }

}  // namespace

bool ClientReader::is_too_long(const pgwire::Header& header) const {
  return header.length > std::min(frontend::max_length(header.type), max_message_);
}

ClientReader::Found ClientReader::read(Bytes in, Item& item) {
  if (left_ > 0) {
    if (in.empty()) return Found::nothing;
    const auto part = std::min<std::uint64_t>(left_, in.size());
    left_ -= part;
    item = {.type = 0, .message = in.first(part), .total = part};
    return Found::passing;
  }
  if (in.size() < header_size) return Found::nothing;
  const auto header = pgwire::load_header(in);
  if (!is_known(header.type)) {
    error_ = fmt::format("invalid frontend message type {}", static_cast<int>(static_cast<unsigned char>(header.type)));
    return Found::broken;
  }
  if (!header.valid() || is_too_long(header)) {
    error_ = "invalid message length";
    return Found::broken;
  }
  if (header.type == frontend::terminate) return Found::terminate;
  item = {.type = header.type, .message = in.first(std::min(in.size(), header.total())), .total = header.total()};
  return Found::item;
}

void ClientReader::take(const Item& item) {
  left_ = item.total - item.message.size();
  waiting_ = 0;
}

ClientReader::Needs ClientReader::needs_server(Bytes in) {
  for (; waiting_ < enough_for_a_server; waiting_ += pgwire::load_header(in.subspan(waiting_)).total()) {
    const Bytes rest = in.subspan(waiting_);
    if (rest.size() < header_size) return Needs::nothing;
    const auto header = pgwire::load_header(rest);
    if (!is_known(header.type) || !header.valid() || is_too_long(header)) return Needs::server;  // `read` says why
    if (header.type == frontend::terminate) return Needs::goodbye;
    if (rest.size() < header.total()) return in.size() >= enough_for_a_server ? Needs::server : Needs::nothing;
    if (!only_prepares(header.type)) return Needs::server;
  }
  return Needs::server;
}

bool only_closes(Bytes rest) {
  constexpr int most = 64;
  for (int at = 0; at < most && rest.size() >= header_size; ++at) {
    const auto header = pgwire::load_header(rest);
    if (header.type == frontend::sync) return true;
    if (header.type != frontend::close || !header.valid() || rest.size() < header.total()) return false;
    rest = rest.subspan(header.total());
  }
  return false;
}

bool mentions_sequence_state(Bytes bytes) {
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  constexpr std::string_view current = "currval", last = "lastval";
  const auto is = [](char a, char b) { return (a | 0x20) == b; };
  for (std::size_t at = text.find_first_of("vV", 4); at != std::string_view::npos && at + 2 < text.size();
       at = text.find_first_of("vV", at + 1)) {
    const auto word = text.substr(at - 4, current.size());
    if (std::ranges::equal(word, current, is) || std::ranges::equal(word, last, is)) return true;
  }
  return false;
}

}  // namespace millrace::gateway
