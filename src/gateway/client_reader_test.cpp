#include "gateway/client_reader.hpp"

#include <gtest/gtest.h>

#include "gateway/fuzz/messages.hpp"

namespace millrace::gateway {
namespace {

using Found = ClientReader::Found;
using Needs = ClientReader::Needs;
using Item = ClientReader::Item;

constexpr std::uint32_t any_length = 1u << 30;

pgwire::Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string header(char type, std::uint32_t length) {
  std::string out(1, type);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(length >> shift);
  return out;
}

Needs needs(std::string_view sent, std::uint32_t max_message = any_length) {
  return ClientReader(max_message).needs_server(bytes_of(sent));
}

TEST(ClientReader, AMessageIsSeenByItsHeader) {
  ClientReader reader(any_length);
  const std::string sent = wire::query("SELECT 1");
  Item item;
  EXPECT_EQ(reader.read(bytes_of(sent).first(4), item), Found::nothing);
  ASSERT_EQ(reader.read(bytes_of(sent).first(7), item), Found::item);
  EXPECT_EQ(item.type, 'Q');
  EXPECT_EQ(item.total, sent.size());
  EXPECT_EQ(item.message.size(), 7U);
  EXPECT_FALSE(item.whole());
  ASSERT_EQ(reader.read(bytes_of(sent + sent), item), Found::item) << "it is there until it is taken";
  EXPECT_TRUE(item.whole());
  EXPECT_EQ(item.message.size(), sent.size());
}

TEST(ClientReader, TheRestOfWhatIsTakenPassesUnseen) {
  ClientReader reader(any_length);
  const std::string sent = wire::copy_data("XXXXXXXX") + wire::sync();
  Item item;
  ASSERT_EQ(reader.read(bytes_of(sent).first(6), item), Found::item);
  reader.take(item);
  EXPECT_TRUE(reader.mid_message());
  EXPECT_EQ(reader.read({}, item), Found::nothing);
  ASSERT_EQ(reader.read(bytes_of(sent).subspan(6), item), Found::passing);
  EXPECT_EQ(item.message.size(), 7U);
  EXPECT_FALSE(reader.mid_message());
  ASSERT_EQ(reader.read(bytes_of(sent).subspan(13), item), Found::item);
  EXPECT_EQ(item.type, 'S');
}

TEST(ClientReader, AGoodbyeIsAllThatCounts) {
  Item item;
  EXPECT_EQ(ClientReader(any_length).read(bytes_of(wire::terminate() + "nonsense"), item), Found::terminate);
}

TEST(ClientReader, WhatPostgresqlRefusesIsRefused) {
  const auto error_of = [](const std::string& sent, std::uint32_t max_message) {
    ClientReader reader(max_message);
    Item item;
    const auto found = reader.read(bytes_of(sent), item);
    EXPECT_EQ(found == Found::broken, !reader.error().empty());
    return reader.error();
  };
  EXPECT_EQ(error_of(header('p', 4), any_length), "invalid frontend message type 112");
  EXPECT_EQ(error_of(header('\xff', 4), any_length), "invalid frontend message type 255");
  EXPECT_EQ(error_of(header('Q', 3), any_length), "invalid message length");
  EXPECT_EQ(error_of(header('S', 10'001), any_length), "invalid message length");
  EXPECT_EQ(error_of(header('S', 10'000), any_length), "");
  EXPECT_EQ(error_of(header('Q', 101), 100), "invalid message length");
  EXPECT_EQ(error_of(header('Q', 100), 100), "");
}

TEST(ClientReader, WhatOnlyPreparesNeedsNoServer) {
  const std::string prepares =
      wire::parse("s", "SELECT 1") + wire::bind("s") + wire::describe_portal() + wire::close_statement("s");
  EXPECT_EQ(needs(prepares), Needs::nothing);
  for (const auto& asks : {wire::query("SELECT 1"), wire::execute(), wire::flush(), wire::sync(), wire::function_call(),
                           wire::copy_data("1"), wire::copy_done()}) {
    EXPECT_EQ(needs(prepares + asks), Needs::server) << asks.front();
    EXPECT_EQ(needs(prepares + asks.substr(0, asks.size() - 1)), Needs::nothing) << asks.front();
  }
}

TEST(ClientReader, AGoodbyeBehindWhatPreparesNeedsNoServer) {
  EXPECT_EQ(needs(wire::parse("", "SELECT 1") + wire::terminate()), Needs::goodbye);
  EXPECT_EQ(needs(wire::sync() + wire::terminate()), Needs::server);
}

TEST(ClientReader, WhatIsBrokenIsNotWaitedFor) {
  const std::string prepares = wire::parse("", "SELECT 1");
  EXPECT_EQ(needs(prepares + header('p', 4)), Needs::server);
  EXPECT_EQ(needs(prepares + header('S', 3)), Needs::server);
  EXPECT_EQ(needs(prepares + header('S', 10'001)), Needs::server);
  EXPECT_EQ(needs(prepares + header('P', 101), 100), Needs::server);
  EXPECT_EQ(needs(prepares + header('X', 10'001)), Needs::server) << "no goodbye";
}

TEST(ClientReader, WaitsForNoMoreThan64KiB) {
  constexpr std::size_t enough = 64 * 1024;
  EXPECT_EQ(needs(wire::parse("", std::string(enough - 9, ' '))), Needs::server);
  EXPECT_EQ(needs(wire::parse("", std::string(enough - 10, ' '))), Needs::nothing);
  const std::string begun = wire::parse("", std::string(2 * enough, ' '));
  EXPECT_EQ(needs(std::string_view(begun).substr(0, enough)), Needs::server);
  EXPECT_EQ(needs(std::string_view(begun).substr(0, enough - 1)), Needs::nothing);
}

TEST(ClientReader, KnowsHowMuchWaits) {
  ClientReader reader(any_length);
  const std::string first = wire::parse("", "SELECT 1"), both = first + wire::bind("");
  EXPECT_EQ(reader.needs_server(bytes_of(both).first(first.size() + 3)), Needs::nothing);
  EXPECT_EQ(reader.waiting(), first.size());
  EXPECT_EQ(reader.needs_server(bytes_of(both)), Needs::nothing);
  EXPECT_EQ(reader.waiting(), both.size());
  Item item;
  ASSERT_EQ(reader.read(bytes_of(both), item), Found::item);
  reader.take(item);
  EXPECT_EQ(reader.waiting(), 0U) << "what is taken waits no more, and what follows it is looked at anew";
}

TEST(ClientReader, SequenceStateIsFoundInAnyCase) {
  const auto mentions = [](std::string_view text) { return mentions_sequence_state(bytes_of(text)); };
  EXPECT_TRUE(mentions("currval"));
  EXPECT_TRUE(mentions("SELECT LastVal()"));
  EXPECT_TRUE(mentions("vvCURRVALvv"));
  EXPECT_FALSE(mentions("SELECT nextval('s'), currva"));
  EXPECT_FALSE(mentions("currv"));
  EXPECT_FALSE(mentions(""));
}

}  // namespace
}  // namespace millrace::gateway
