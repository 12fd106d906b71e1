#include "pgwire/protocol/startup.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>

#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::pgwire {
namespace {

constexpr std::string_view option_prefix = "_pq_.";
constexpr std::size_t max_name_bytes = 63;  // PostgreSQL's NAMEDATALEN without the NUL

bool is_prefix_of(std::string_view text, std::string_view word) {
  return !text.empty() && text.size() <= word.size() &&
         std::equal(text.begin(), text.end(), word.begin(), [](char given, char lower) {
           return (given >= 'A' && given <= 'Z' ? static_cast<char>(given + ('a' - 'A')) : given) == lower;
         });
}

// What PostgreSQL takes for a Boolean: any beginning of these words that is only one word's.
std::optional<bool> parse_bool(std::string_view text) {
  if (is_prefix_of(text, "true") || is_prefix_of(text, "yes") || text == "1") return true;
  if (is_prefix_of(text, "false") || is_prefix_of(text, "no") || text == "0") return false;
  if (text.size() >= 2 && is_prefix_of(text, "on")) return true;
  if (text.size() >= 2 && is_prefix_of(text, "off")) return false;
  return std::nullopt;
}

std::optional<Replication> parse_replication(std::string_view value) {
  if (value == "database") return Replication::logical;
  return parse_bool(value).transform([](bool on) { return on ? Replication::physical : Replication::none; });
}

// Names and values as far as they come in pairs, then the final NUL, which must be the last byte.
Result<> read_parameters(Bytes rest, StartupRequest& request) {
  for (;;) {
    const auto name = leading_string(rest);
    if (!name || name->empty()) break;
    const Bytes after = rest.subspan(name->size() + 1);
    const auto value = leading_string(after);
    if (!value) break;
    rest = after.subspan(value->size() + 1);
    if (name->starts_with(option_prefix)) {
      request.unknown_options.emplace_back(*name);
    } else {
      request.parameters.emplace_back(*name, *value);
    }
  }
  if (rest.size() != 1 || rest[0] != std::byte{0}) {
    return fail("invalid startup packet layout: expected terminator as last byte", "08P01");
  }
  return {};
}

Result<StartupPacket> decode_request(std::uint32_t version, Bytes parameters) {
  StartupRequest request;
  request.major = static_cast<std::uint16_t>(version >> 16);
  request.minor = static_cast<std::uint16_t>(version & 0xffff);
  if (request.major != protocol_major) {
    return fail(fmt::format("unsupported frontend protocol {}.{}: server supports {}.0 to {}.{}", request.major,
                            request.minor, protocol_major, protocol_major, protocol_minor),
                "0A000");
  }
  if (auto read = read_parameters(parameters, request); !read) return std::unexpected(std::move(read.error()));
  for (const auto& [name, value] : request.parameters) {
    if (name == "replication" && !parse_replication(value)) {
      return fail(fmt::format("invalid value for parameter \"replication\": \"{}\"", value), "22023",
                  R"(Valid values are: "false", 0, "true", 1, "database".)");
    }
  }
  if (request.user().empty()) return fail("no PostgreSQL user name specified in startup packet", "28000");
  return request;
}

}  // namespace

std::string_view StartupRequest::parameter(std::string_view name) const {
  std::string_view found;
  for (const auto& [key, value] : parameters) {
    if (key == name) found = value;
  }
  return found;
}

std::string_view StartupRequest::user() const { return parameter("user").substr(0, max_name_bytes); }

std::string_view StartupRequest::database() const {
  const std::string_view named = parameter("database").substr(0, max_name_bytes);
  return named.empty() ? user() : named;
}

Replication StartupRequest::replication() const {
  return parse_replication(parameter("replication")).value_or(Replication::none);
}

Result<StartupPacket> decode_startup(Bytes whole_packet, AskedBefore asked) {
  if (whole_packet.size() < min_startup_length || !valid_startup_length(load_u32(whole_packet.data())) ||
      load_u32(whole_packet.data()) != whole_packet.size()) {
    return fail("invalid length of startup packet", "08P01");
  }
  const std::uint32_t code = load_u32(whole_packet.data() + 4);
  const Bytes rest = whole_packet.subspan(8);
  if (code == ssl_request_code && !asked.ssl) return SslRequest{};
  if (code == gss_encryption_request_code && !asked.gss) return GssEncryptionRequest{};
  if (code != cancel_request_code) return decode_request(code, rest);
  if (rest.size() != 8) return fail("invalid length of startup packet", "08P01");
  return CancelRequest{load_u32(rest.data()), load_u32(rest.data() + 4)};
}

void append_startup_error(std::string& out, Bytes whole_packet, const Error& error) {
  const bool old = whole_packet.size() >= 8 && load_u32(whole_packet.data() + 4) >> 16 < protocol_major;
  if (!old) return append_error_response(out, "FATAL", error);
  out += fmt::format("EFATAL:  {}\n", error.message);
  out += '\0';
}

}  // namespace millrace::pgwire
