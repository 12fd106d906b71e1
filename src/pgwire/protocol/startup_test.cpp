#include "pgwire/protocol/startup.hpp"

#include <gtest/gtest.h>

#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::pgwire {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Result<StartupPacket> decode(std::string_view packet) { return decode_startup(as_bytes(packet)); }

std::string packet_of(const Pairs& parameters, std::uint32_t version = protocol_3_0) {
  std::string packet;
  append_startup(packet, parameters, version);
  return packet;
}

// A packet with a right length before whatever follows it.
std::string framed(std::uint32_t code, std::string_view rest) {
  std::string packet;
  for (const std::uint32_t word : {static_cast<std::uint32_t>(rest.size() + 8), code}) {
    const std::uint32_t swapped = std::byteswap(word);
    packet.append(reinterpret_cast<const char*>(&swapped), sizeof swapped);
  }
  return packet.append(rest);
}

StartupRequest request_of(const Pairs& parameters, std::uint32_t version = protocol_3_0) {
  return std::get<StartupRequest>(decode(packet_of(parameters, version)).value());
}

void expect_error(std::string_view packet, std::string_view sqlstate, std::string_view message) {
  const auto decoded = decode(packet);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error().sqlstate, sqlstate);
  EXPECT_EQ(decoded.error().message, message);
}

TEST(Startup, KeepsParametersInOrderAndTakesTheLastOfAName) {
  const auto request = request_of({{"user", "a"}, {"options", "-c x=1"}, {"user", "b"}});
  EXPECT_EQ(request.major, 3);
  EXPECT_EQ(request.minor, 0);
  EXPECT_EQ(request.parameters, (Pairs{{"user", "a"}, {"options", "-c x=1"}, {"user", "b"}}));
  EXPECT_EQ(request.user(), "b");
  EXPECT_EQ(request.database(), "b");
  EXPECT_EQ(request.parameter("absent"), "");
  EXPECT_FALSE(request.needs_negotiation());
}

TEST(Startup, CutsNamesAsPostgreSqlDoes) {
  const auto request = request_of({{"user", std::string(70, 'u')}, {"database", std::string(70, 'd')}});
  EXPECT_EQ(request.user(), std::string(63, 'u'));
  EXPECT_EQ(request.database(), std::string(63, 'd'));
}

TEST(Startup, ReadsReplication) {
  const std::pair<std::string_view, Replication> cases[] = {
      {"database", Replication::logical}, {"true", Replication::physical}, {"ON", Replication::physical},
      {"1", Replication::physical},       {"y", Replication::physical},    {"false", Replication::none},
      {"of", Replication::none},          {"0", Replication::none},        {"N", Replication::none}};
  for (const auto& [value, expected] : cases) {
    EXPECT_EQ(request_of({{"user", "a"}, {"replication", std::string(value)}}).replication(), expected) << value;
  }
  EXPECT_EQ(request_of({{"user", "a"}}).replication(), Replication::none);
  for (const std::string value : {"maybe", "o", "", "truer", "DATABASE"}) {
    expect_error(packet_of({{"user", "a"}, {"replication", value}}), "22023",
                 "invalid value for parameter \"replication\": \"" + value + "\"");
  }
}

TEST(Startup, SetsAsideProtocolOptionsAndNewerMinors) {
  const auto options = request_of({{"_pq_.a", "1"}, {"user", "a"}, {"_pq_.b", ""}});
  EXPECT_EQ(options.unknown_options, (std::vector<std::string>{"_pq_.a", "_pq_.b"}));
  EXPECT_EQ(options.parameters, (Pairs{{"user", "a"}}));
  EXPECT_TRUE(options.needs_negotiation());
  const auto newer = request_of({{"user", "a"}}, protocol_3_0 + 2);
  EXPECT_EQ(newer.minor, 2);
  EXPECT_TRUE(newer.needs_negotiation());
}

TEST(Startup, KnowsTheRequestsThatAreNoLogIn) {
  std::string packet;
  append_ssl_request(packet);
  EXPECT_TRUE(std::holds_alternative<SslRequest>(decode(packet).value()));
  packet.clear();
  append_gss_encryption_request(packet);
  EXPECT_TRUE(std::holds_alternative<GssEncryptionRequest>(decode(packet).value()));
  packet.clear();
  append_cancel_request(packet, 4711, 0xfedcba98);
  const auto cancel = std::get<CancelRequest>(decode(packet).value());
  EXPECT_EQ(cancel.process_id, 4711U);
  EXPECT_EQ(cancel.secret_key, 0xfedcba98U);
  expect_error(framed(cancel_request_code, "1234567"), "08P01", "invalid length of startup packet");
  expect_error(framed(cancel_request_code, "123456789"), "08P01", "invalid length of startup packet");
}

TEST(Startup, EncryptionIsAskedForOnce) {
  std::string packet;
  append_ssl_request(packet);
  EXPECT_TRUE(decode_startup(as_bytes(packet), {.ssl = false, .gss = true}).has_value());
  EXPECT_EQ(decode_startup(as_bytes(packet), {.ssl = true}).error().message,
            "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.0");
  packet.clear();
  append_gss_encryption_request(packet);
  EXPECT_TRUE(decode_startup(as_bytes(packet), {.ssl = true}).has_value());
  EXPECT_EQ(decode_startup(as_bytes(packet), {.gss = true}).error().message,
            "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.0");
}

TEST(Startup, RefusesOtherVersions) {
  for (const std::uint32_t version : {2U << 16, 4U << 16, 0U, 1234U << 16 | 5681U}) {
    const auto decoded = decode(packet_of({{"user", "a"}}, version));
    ASSERT_FALSE(decoded.has_value());
    EXPECT_EQ(decoded.error().sqlstate, "0A000");
  }
  expect_error(packet_of({}, 2U << 16), "0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.0");
}

TEST(Startup, AnswersOldClientsInTheirOwnForm) {
  const auto answer = [](std::uint32_t version) {
    const std::string packet = packet_of({{"user", "a"}}, version);
    std::string out;
    append_startup_error(out, as_bytes(packet), decode(packet).error());
    return out;
  };
  EXPECT_EQ(answer(2U << 16),
            std::string_view("EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.0\n\0", 72));
  EXPECT_EQ(answer(4U << 16)[5], 'S');
}

TEST(Startup, RefusesBadLayoutsInPostgreSqlsWords) {
  using namespace std::string_view_literals;
  constexpr std::string_view layout = "invalid startup packet layout: expected terminator as last byte";
  for (const auto rest :
       {""sv, "user\0a\0"sv, "user\0a\0\0\0"sv, "user\0a"sv, "user\0a\0\0x"sv, "user"sv, "\0user\0a\0\0"sv}) {
    expect_error(framed(protocol_3_0, rest), "08P01", layout);
  }
  expect_error(framed(protocol_3_0, "\0"sv), "28000", "no PostgreSQL user name specified in startup packet");
  expect_error(framed(protocol_3_0, "user\0\0\0"sv), "28000", "no PostgreSQL user name specified in startup packet");
}

TEST(Startup, ChecksTheLength) {
  EXPECT_FALSE(valid_startup_length(0));
  EXPECT_FALSE(valid_startup_length(7));
  EXPECT_TRUE(valid_startup_length(8));
  EXPECT_TRUE(valid_startup_length(10'004));
  EXPECT_FALSE(valid_startup_length(10'005));
  const std::string longest = packet_of({{"user", "a"}, {"x", std::string(10'004 - 4 - 4 - 7 - 3 - 1, 'x')}});
  EXPECT_EQ(longest.size(), 10'004U);
  EXPECT_TRUE(decode(longest).has_value());
  expect_error(packet_of({{"user", "a"}, {"x", std::string(10'004, 'x')}}), "08P01",
               "invalid length of startup packet");
  expect_error("", "08P01", "invalid length of startup packet");
  expect_error(packet_of({{"user", "a"}}) + "x", "08P01", "invalid length of startup packet");
}

}  // namespace
}  // namespace millrace::pgwire
