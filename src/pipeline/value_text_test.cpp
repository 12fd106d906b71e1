#include "pipeline/value_text.hpp"

#include <gtest/gtest.h>

#include "catalog/snapshot_builder.hpp"

namespace millrace::pipeline {
namespace {

using namespace std::string_literals;
using Family = ValueFamily;
using Texts = std::vector<std::string>;

TEST(ValueText, OfText) {
  const auto expect = [](Family family, std::string_view written, const char* canonical) {
    const auto found = canonical_text(family, written);
    EXPECT_EQ(found.value_or("?"), canonical) << written;
  };
  expect(Family::integer, "12", "12");
  expect(Family::integer, " +012\n", "12");
  expect(Family::integer, "-0", "0");
  expect(Family::integer, "-9223372036854775808", "-9223372036854775808");
  for (const auto* written : {"", " ", "+-1", "1.0", "1e3", "0x10", "1_000", "9223372036854775808", "1 2", "x"}) {
    expect(Family::integer, written, "?");
  }
  expect(Family::text, "", "");
  expect(Family::text, " It's ", " It's ");
  expect(Family::text, "\xc3\xa9", "?");  // in LATIN1 it is another
  EXPECT_TRUE(canonical_text(Family::text, std::string(256, 'a')));
  EXPECT_FALSE(canonical_text(Family::text, std::string(257, 'a')));
  expect(Family::uuid, "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
  for (const auto* written : {"", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
                              "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11"}) {
    expect(Family::uuid, written, "?");
  }
  expect(Family::boolean, "true", "t");
  expect(Family::boolean, "0", "f");
  expect(Family::boolean, "of", "?");  // that PostgreSQL refuses, as "o"; "off" it takes
  expect(Family::none, "1", "?");
}

TEST(ValueText, OfBinary) {
  EXPECT_EQ(canonical_binary(Family::integer, "\xff\xfe"s), "-2");
  EXPECT_EQ(canonical_binary(Family::integer, "\x00\x00\x01\x00"s), "256");
  EXPECT_EQ(canonical_binary(Family::integer, "\x80\x00\x00\x00\x00\x00\x00\x00"s), "-9223372036854775808");
  EXPECT_EQ(canonical_binary(Family::integer, "\x01"s), std::nullopt);
  EXPECT_EQ(canonical_binary(Family::integer, ""), std::nullopt);
  EXPECT_EQ(canonical_binary(Family::text, "abc"), "abc");
  EXPECT_EQ(canonical_binary(Family::text, "\xe9"), std::nullopt);
  EXPECT_EQ(canonical_binary(Family::uuid, "\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11"s),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
  EXPECT_EQ(canonical_binary(Family::uuid, "short"), std::nullopt);
  EXPECT_EQ(canonical_binary(Family::boolean, "\x01"s), "t");
  EXPECT_EQ(canonical_binary(Family::boolean, "\x00"s), "f");
  EXPECT_EQ(canonical_binary(Family::boolean, ""), std::nullopt);
}

TEST(ValueText, OfArrays) {
  EXPECT_EQ(canonical_elements(Family::integer, "{1,-2,003}", 3), (Texts{"1", "-2", "3"}));
  EXPECT_EQ(canonical_elements(Family::integer, "{}", 0), Texts{});
  EXPECT_EQ(canonical_elements(Family::text, "{a,b}", 2), (Texts{"a", "b"}));
  for (const auto* array : {"", "{", "}", "1,2", "{{1},{2}}", "[0:1]={1,2}", "{1, 2}", "{NULL}", "{1,2,3,4}"}) {
    EXPECT_EQ(canonical_elements(Family::integer, array, 3), std::nullopt) << array;
  }
  for (const auto* array : {"{\"a\"}", "{a\\b}", "{a b}"}) {
    EXPECT_EQ(canonical_elements(Family::text, array, 3), std::nullopt) << array;
  }
  const auto int4_header = "\0\0\0\1\0\0\0\0\0\0\0\x17"s;
  const auto one_and_null = int4_header + "\0\0\0\2\0\0\0\1\0\0\0\4\0\0\0\7\xff\xff\xff\xff"s;
  EXPECT_EQ(canonical_binary_elements(Family::integer, one_and_null, 2), Texts{"7"});
  EXPECT_EQ(canonical_binary_elements(Family::integer, one_and_null, 1), std::nullopt);
  EXPECT_EQ(canonical_binary_elements(Family::text, one_and_null, 2), std::nullopt);
  EXPECT_EQ(canonical_binary_elements(Family::integer, one_and_null + "x", 2), std::nullopt);
  EXPECT_EQ(canonical_binary_elements(Family::integer, "\0\0\0\0\0\0\0\0\0\0\0\x17"s, 2), Texts{});
  for (std::size_t size = 0; size < one_and_null.size(); ++size) {
    EXPECT_EQ(canonical_binary_elements(Family::integer, one_and_null.substr(0, size), 2), std::nullopt) << size;
  }
}

TEST(ValueText, FamiliesOfColumns) {
  constexpr catalog::Oid int4 = 23, text = 25, varchar = 1043, bpchar = 1042, numeric = 1700;
  const auto family = [](catalog::Oid type, catalog::Oid collation, std::optional<bool> others_apart) {
    catalog::SnapshotBuilder builder;
    builder.operator_("=", 'i', true);
    if (others_apart) {
      builder.operator_("=", {.volatility = 'i', .all_immutable_or_built_in = true, .apart = *others_apart});
    }
    return family_of({.name = "c", .type = type, .not_null = false, .collation = collation}, *builder.build());
  };
  EXPECT_EQ(family(int4, 0, {}), Family::integer);
  EXPECT_EQ(family(text, 100, {}), Family::text);
  EXPECT_EQ(family(varchar, 950, {}), Family::text);
  EXPECT_EQ(family(text, 20000, {}), Family::none);
  EXPECT_EQ(family(bpchar, 100, {}), Family::none);
  EXPECT_EQ(family(numeric, 0, {}), Family::none);
  EXPECT_EQ(family(int4, 0, true), Family::integer);
  EXPECT_EQ(family(varchar, 100, true), Family::none);
  EXPECT_EQ(family(int4, 0, false), Family::none);
  EXPECT_EQ(family_of({.name = "c", .type = int4}, *catalog::SnapshotBuilder().build()), Family::none);
}

}  // namespace
}  // namespace millrace::pipeline
