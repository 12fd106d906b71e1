#include "base/log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "base/line_writer.hpp"

namespace millrace::log {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 20s;

/// A pipe whose reader takes its time.
class Pipe {
 public:
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    reader_ = ends[0];
    writer = ends[1];
    capacity = static_cast<std::size_t>(::fcntl(writer, F_GETPIPE_SZ));
  }
  ~Pipe() {
    close_reader();
    ::close(writer);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void close_reader() {
    if (reader_ >= 0) ::close(std::exchange(reader_, -1));
  }

  /// All lines up to the first that contains `last`.
  std::vector<std::string> lines_until(std::string_view last) {
    std::vector<std::string> lines(1);
    std::array<char, 4096> buffer{};
    for (;;) {
      pollfd readable{.fd = reader_, .events = POLLIN, .revents = 0};
      if (::poll(&readable, 1, std::chrono::milliseconds(patience).count()) != 1) return lines;
      const ssize_t got = ::read(reader_, buffer.data(), buffer.size());
      for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)))) {
        if (c != '\n') {
          lines.back() += c;
        } else if (lines.back().contains(last)) {
          return lines;
        } else {
          lines.emplace_back();
        }
      }
      if (got <= 0) return lines;
    }
  }

  int writer = -1;
  std::size_t capacity = 0;

 private:
  int reader_ = -1;
};

std::string told(std::uint64_t count) { return "lost " + std::to_string(count); }

TEST(LineWriter, KeepsTheOrder) {
  Pipe pipe;
  LineWriter writer(pipe.writer, 1 << 20, told);
  for (int i = 0; i < 100; ++i) writer.write(std::to_string(i));
  EXPECT_TRUE(writer.flush(patience));
  const auto lines = pipe.lines_until("99");
  ASSERT_EQ(lines.size(), 100);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(lines[static_cast<std::size_t>(i)], std::to_string(i));
  EXPECT_EQ(writer.lost(), 0);
}

TEST(LineWriter, NobodyWaitsForTheReader) {
  Pipe pipe;
  constexpr std::size_t max_bytes = 100'000;
  LineWriter writer(pipe.writer, max_bytes, told);
  constexpr int threads = 4;
  constexpr int each = 1000;
  const std::string line(999, 'x');
  std::vector<std::jthread> writers;
  for (int i = 0; i < threads; ++i) {
    writers.emplace_back([&] {
      for (int k = 0; k < each; ++k) writer.write(line);
    });
  }
  writers.clear();  // they end, though nobody has read a byte
  EXPECT_FALSE(writer.flush(1ms));
  const std::uint64_t lost = writer.lost();
  EXPECT_GT(lost, 0);

  // Now it is read: what there was room for, and then how much is missing.
  const auto lines = pipe.lines_until("lost");
  EXPECT_EQ(lines.back(), told(lost));
  EXPECT_EQ(lines.size() - 1 + lost, threads * each);
  EXPECT_LE((lines.size() - 1) * (line.size() + 1), pipe.capacity + max_bytes);
  EXPECT_TRUE(std::all_of(lines.begin(), lines.end() - 1, [&](const auto& one) { return one == line; }));

  writer.write("flows again");
  EXPECT_EQ(pipe.lines_until("flows").size(), 1) << "what was lost is told once";
}

TEST(LineWriter, EndsWhileNobodyReads) {
  static auto& pipe = *new Pipe;  // the thread that is left behind may still write to it
  {
    LineWriter writer(pipe.writer, pipe.capacity * 4, told);
    const std::string line(999, 'x');
    for (std::size_t i = 0; i < pipe.capacity * 2 / line.size(); ++i) writer.write(line);
    EXPECT_FALSE(writer.flush(1ms));
  }
  pipe.close_reader();  // its thread's last write ends
}

TEST(LineWriter, OutlivesItsReader) {
  Pipe pipe;
  LineWriter writer(pipe.writer, 1 << 20, told);
  pipe.close_reader();
  writer.write("one");  // SIGPIPE would end the process
  EXPECT_TRUE(writer.flush(patience));
  writer.write("two");
  EXPECT_TRUE(writer.flush(patience));
  EXPECT_EQ(writer.lost(), 2);
}

TEST(LineWriter, WaitsForADescriptorThatDoesNotBlock) {
  Pipe pipe;
  ASSERT_EQ(::fcntl(pipe.writer, F_SETFL, O_NONBLOCK), 0);
  LineWriter writer(pipe.writer, pipe.capacity * 4, told);
  const std::string line(999, 'x');
  const std::size_t count = pipe.capacity * 2 / line.size();
  for (std::size_t i = 0; i < count; ++i) writer.write(line);
  writer.write("end");
  EXPECT_EQ(pipe.lines_until("end").size(), count + 1);
  EXPECT_EQ(writer.lost(), 0);
}

TEST(Log, IsFlushed) {
  testing::internal::CaptureStderr();
  configure(Level::info, Format::json);
  debug("not said");
  info("said", {{"text", "a\n\"b\""}, {"number", 17}});
  EXPECT_TRUE(flush(patience));
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(line.ends_with(R"("level":"info","event":"said","text":"a\n\"b\"","number":17})"
                             "\n"))
      << line;
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
  configure(Level::info, Format::text);
}

}  // namespace
}  // namespace millrace::log
