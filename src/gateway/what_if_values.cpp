#include "gateway/what_if_values.hpp"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstdint>

#include "base/in_quotes.hpp"

namespace millrace::gateway {
namespace {

constexpr std::string_view binary = "\\x";

std::optional<std::string> bytes_of(std::string_view hexadecimal) {
  if (hexadecimal.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < hexadecimal.size(); i += 2) {
    unsigned value = 0;
    const auto* end = hexadecimal.data() + i + 2;
    if (const auto [at, error] = std::from_chars(end - 2, end, value, 16); error != std::errc() || at != end)
      return std::nullopt;
    bytes.push_back(static_cast<char>(value));
  }
  return bytes;
}

/// In the network's order.
std::uint64_t unsigned_of(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8U | static_cast<unsigned char>(c);
  return value;
}

std::int64_t signed_of(std::string_view bytes) {
  const unsigned unused = 64 - 8 * static_cast<unsigned>(bytes.size());
  return static_cast<std::int64_t>(unsigned_of(bytes) << unused) >> unused;
}

std::optional<std::string> expression_of(std::string_view bytes, catalog::Oid type) {
  switch (type) {
    case 16:  // boolean
      if (bytes.size() != 1) return std::nullopt;
      return bytes[0] != 0 ? "'t'" : "'f'";
    case 20:  // int8, int4, int2
    case 21:
    case 23:
      if (bytes.size() != (type == 20 ? 8U : type == 23 ? 4U : 2U)) return std::nullopt;
      return fmt::format("'{}'", signed_of(bytes));
    case 700:  // float4, float8
      if (bytes.size() != 4) return std::nullopt;
      return fmt::format("'{}'", std::bit_cast<float>(static_cast<std::uint32_t>(unsigned_of(bytes))));
    case 701:
      if (bytes.size() != 8) return std::nullopt;
      return fmt::format("'{}'", std::bit_cast<double>(unsigned_of(bytes)));
    case 25:  // text, bpchar, varchar, name
    case 1042:
    case 1043:
    case 19:
      if (bytes.contains('\0')) return std::nullopt;
      return in_quotes(bytes, '\'');
    case 1082:  // date: days since 2000
      if (bytes.size() != 4) return std::nullopt;
      return fmt::format("pg_catalog.date '2000-01-01' + ({})", signed_of(bytes));
    case 1114:  // timestamp and timestamptz: microseconds since 2000
    case 1184:
      if (bytes.size() != 8) return std::nullopt;
      return fmt::format("pg_catalog.{} '2000-01-01 00:00:00+00' + pg_catalog.interval '{} microseconds'",
                         type == 1114 ? "timestamp" : "timestamptz", signed_of(bytes));
    case 2950: {  // uuid
      if (bytes.size() != 16) return std::nullopt;
      std::string digits;
      for (const char c : bytes) digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
      return "'" + digits + "'";
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::string> literal_of(const std::optional<std::string>& kept, catalog::Oid type) {
  constexpr catalog::Oid bytea = 17;
  if (!kept) return "NULL";
  if (kept->contains('\0')) return std::nullopt;
  if (!kept->starts_with(binary) || type == bytea) return in_quotes(*kept, '\'');
  const auto bytes = bytes_of(std::string_view(*kept).substr(binary.size()));
  return bytes ? expression_of(*bytes, type) : std::nullopt;
}

}  // namespace millrace::gateway
