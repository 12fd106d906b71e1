#include "config/dotenv.hpp"

#include <gtest/gtest.h>

#include <random>

namespace millrace::config {
namespace {

using Values = std::map<std::string, std::string>;

Values parsed(std::string_view text) { return parse_dotenv(text, {{"HOME", "/home/ada"}, {"A", "outside"}}); }

TEST(Dotenv, Lines) {
  EXPECT_EQ(parsed("A=1\nB = two words \r\n# C=3\n  export D=4\nexport\tE=5\n\nF=\nA=6"),
            (Values{{"A", "6"}, {"B", "two words"}, {"D", "4"}, {"E", "5"}, {"F", ""}}));
  EXPECT_EQ(parsed("\xEF\xBB\xBF"
                   "A=1"),
            (Values{{"A", "1"}}));
  EXPECT_EQ(parsed("exported=1\nexport=2\nexport A"), (Values{{"exported", "1"}, {"export", "2"}}));
}

TEST(Dotenv, Comments) {
  EXPECT_EQ(parsed("A=b#c\nB=b # c\nC=# c\nD='b # c' # d\nE=\"b # c\"#d"),
            (Values{{"A", "b#c"}, {"B", "b"}, {"C", ""}, {"D", "b # c"}, {"E", "b # c"}}));
}

TEST(Dotenv, Quotes) {
  EXPECT_EQ(parsed(R"(A='a\n"${HOME}'
B="a\n\"\\\$\x'"
C=it's)"),
            (Values{{"A", R"(a\n"${HOME})"}, {"B", "a\n\"\\$\\x'"}, {"C", "it's"}}));
  EXPECT_EQ(parsed("A=\"1\nB=2\n\"\nC='3\n4'"), (Values{{"A", "1\nB=2\n"}, {"C", "3\n4"}}));
  EXPECT_EQ(parsed("A=\"no end\nB=2"), (Values{{"B", "2"}}));
}

TEST(Dotenv, ValuesOfOthers) {
  EXPECT_EQ(
      parsed("H=${HOME}\nB=${A}\nA=inside\nC=\"<${A}>\"\nD=${NONE}.${\nE=$A${A"),
      (Values{{"H", "/home/ada"}, {"B", "outside"}, {"A", "inside"}, {"C", "<inside>"}, {"D", ".${"}, {"E", "$A${A"}}));
}

TEST(Dotenv, GrowsByALimit) {
  std::string text = "A0=0123456789\n";
  for (int i = 1; i < 100; ++i) text += fmt::format("A{}=${{A{}}}${{A{}}}\n", i, i - 1, i - 1);
  std::size_t all = 0;
  for (const auto& [name, value] : parsed(text)) {
    EXPECT_LE(value.size(), 64u * 1024);
    all += value.size();
  }
  EXPECT_LE(all, 256u * 1024);
  std::string many = "A=" + std::string(60'000, 'x') + "\n";
  for (int i = 0; i < 1000; ++i) many += fmt::format("B{}=${{A}}\n", i);
  EXPECT_LE(parsed(many).size(), 20u);
  EXPECT_TRUE(parsed("A=" + std::string(100'000, 'x')).empty());
  EXPECT_TRUE(parsed("A='" + std::string(100'000, 'x') + "'").empty());
}

TEST(Dotenv, AnyBytes) {
  constexpr std::string_view alphabet("A=\"'\\${}# \t\r\n_export\0\xEF\xBB\xBF", 24);
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 40, ' ');
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    for (const auto& [name, value] : parsed(text)) EXPECT_FALSE(name.empty());
  }
}

}  // namespace
}  // namespace millrace::config
