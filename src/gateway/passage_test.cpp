#include "gateway/passage.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

pgwire::Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string string_of(pgwire::Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

TEST(Passage, WhatIsPassedOnAsItCameIsNotCopied) {
  const std::string_view in = "abcdef";
  Passage passage;
  passage.begin(bytes_of(in));
  passage.put(2, "");
  const auto out = passage.out(4);
  EXPECT_EQ(static_cast<const void*>(out.data()), in.data());
  EXPECT_EQ(string_of(out), "abcd");
}

TEST(Passage, WhatIsPutStandsBeforeWhatIsThere) {
  Passage passage;
  passage.begin(bytes_of("abcdef"));
  passage.put(0, "1");
  passage.put(2, "2");
  passage.put(2, "3");
  passage.put(6, "4");
  EXPECT_EQ(string_of(passage.out(6)), "1ab23cdef4");
}

TEST(Passage, WhatIsLeftOutMayBeReplaced) {
  Passage passage;
  passage.begin(bytes_of("abcdef"));
  passage.leave_out(1, 3);
  passage.put(3, "12");
  passage.leave_out(4, 5);
  EXPECT_EQ(string_of(passage.out(6)), "a12df");
}

TEST(Passage, NothingGoesOutOfWhatWasNotRead) {
  Passage passage;
  passage.begin(bytes_of("abcdef"));
  passage.put(1, "1");
  EXPECT_EQ(string_of(passage.out(3)), "a1bc");
  passage.begin(bytes_of("abcdef"));
  passage.leave_out(0, 3);
  EXPECT_EQ(string_of(passage.out(3)), "");
}

TEST(Passage, BeginsAnewWithEachInput) {
  Passage passage;
  passage.begin(bytes_of("abc"));
  passage.leave_out(0, 2);
  EXPECT_EQ(string_of(passage.out(3)), "c");
  passage.begin(bytes_of("def"));
  EXPECT_EQ(string_of(passage.out(3)), "def");
}

}  // namespace
}  // namespace millrace::gateway
