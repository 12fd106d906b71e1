#include "http/notification_channel.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <semaphore>
#include <sstream>
#include <thread>
#include <vector>

#include "http/deliver.hpp"

namespace millrace::http {
namespace {

using namespace std::chrono_literals;

template <typename F>
bool eventually(F&& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

TEST(NotificationChannel, TriesAgainAndInOrder) {
  std::mutex mutex;
  std::vector<std::string> got;
  int calls = 0;
  NotificationChannel channel("test",
                              [&](const std::string& text, const std::atomic<bool>&) -> Result<> {
                                const std::lock_guard lock(mutex);
                                if (++calls <= 2) return fail("not now");
                                got.push_back(text);
                                return {};
                              },
                              {.first_pause = 1ms});
  for (const char* text : {"a", "b", "c"}) channel.send(text);
  EXPECT_TRUE(eventually([&] { return channel.counts().delivered == 3; }));
  EXPECT_EQ(got, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(channel.counts().failed_attempts, 2);
  EXPECT_EQ(channel.counts().lost, 0);
}

TEST(NotificationChannel, GoesOnUntilThereIsNoRoom) {
  std::atomic<bool> refuses = true;
  std::mutex mutex;
  std::vector<std::string> got;
  NotificationChannel channel("test",
                              [&](const std::string& text, const std::atomic<bool>&) -> Result<> {
                                if (refuses) return fail("not now");
                                const std::lock_guard lock(mutex);
                                got.push_back(text);
                                return {};
                              },
                              {.waiting = 2, .first_pause = 1ms, .longest_pause = 2ms});
  for (const char* text : {"a", "b"}) channel.send(text);
  EXPECT_TRUE(eventually([&] { return channel.counts().failed_attempts >= 20; }));
  EXPECT_EQ(channel.counts().lost, 0);
  channel.send("c");
  EXPECT_TRUE(eventually([&] { return channel.counts().lost == 1; }));
  refuses = false;
  EXPECT_TRUE(eventually([&] { return channel.counts().delivered == 2; }));
  EXPECT_EQ(got, (std::vector<std::string>{"b", "c"}));
}

TEST(NotificationChannel, LosesTheOldestRatherThanWait) {
  std::binary_semaphore begun(0);
  std::binary_semaphore go_on(0);
  std::mutex mutex;
  std::vector<std::string> got;
  NotificationChannel channel("test",
                              [&](const std::string& text, const std::atomic<bool>&) -> Result<> {
                                if (text == "hangs") {
                                  begun.release();
                                  go_on.acquire();
                                }
                                const std::lock_guard lock(mutex);
                                got.push_back(text);
                                return {};
                              },
                              {.waiting = 2});
  channel.send("hangs");
  begun.acquire();
  for (const char* text : {"a", "b", "c", "d"}) channel.send(text);
  EXPECT_EQ(channel.counts().lost, 2);
  go_on.release();
  EXPECT_TRUE(eventually([&] { return channel.counts().delivered == 3; }));
  EXPECT_EQ(got, (std::vector<std::string>{"hangs", "c", "d"}));
}

TEST(NotificationChannel, EndsWhileItHangs) {
  std::binary_semaphore begun(0);
  bool was_asked_to_stop = false;
  NotificationChannel channel("test",
                              [&](const std::string&, const std::atomic<bool>& stopping) -> Result<> {
                                begun.release();
                                while (!stopping) std::this_thread::sleep_for(1ms);
                                was_asked_to_stop = true;
                                return fail("stopped");
                              },
                              {.patience_at_end = 1ms});
  for (const char* text : {"a", "b", "c"}) channel.send(text);
  begun.acquire();
  channel.stop();
  EXPECT_TRUE(was_asked_to_stop);
  EXPECT_EQ(channel.counts().lost, 3);
  EXPECT_EQ(channel.counts().failed_attempts, 1);
}

TEST(NotificationChannel, DeliversWhatWaitsAtTheEnd) {
  std::vector<std::string> got;
  int calls = 0;
  NotificationChannel channel("test",
                              [&](const std::string& text, const std::atomic<bool>&) -> Result<> {
                                if (++calls == 1 || text == "b") return fail("not now");
                                got.push_back(text);
                                return {};
                              },
                              {.first_pause = 1h, .longest_pause = 1h, .patience_at_end = 1min});
  channel.send("a");
  EXPECT_TRUE(eventually([&] { return channel.counts().failed_attempts == 1; }));
  for (const char* text : {"b", "c"}) channel.send(text);
  channel.stop();
  EXPECT_EQ(got, (std::vector<std::string>{"a", "c"})) << "each is tried once, and nothing waits for an hour";
  EXPECT_EQ(channel.counts().lost, 1);
}

class Script {
 public:
  explicit Script(const std::string& text) {
    std::ofstream(path_) << "#!/bin/sh\n" << text << "\n";
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
  }
  ~Script() { std::filesystem::remove(path_); }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / fmt::format("deliver_test.{}.sh", getpid())).string();
};

TEST(DeliverToCommand, GivesTheTextAsInput) {
  const std::string into = (std::filesystem::temp_directory_path() / fmt::format("deliver_test.{}", getpid())).string();
  const Script script("cat >" + into + "; ls /proc/self/fd | wc -l >>" + into);
  const std::atomic<bool> stopping = false;
  const auto done = deliver_to_command(script.path())("{\"a\": 1}\n", stopping);
  ASSERT_TRUE(done) << done.error().message;
  std::ifstream file(into);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "{\"a\": 1}");
  int files = 0;
  file >> files;
  EXPECT_LE(files, 4) << "none of this process's but the first three, and that of ls";
  std::filesystem::remove(into);
}

TEST(DeliverToCommand, SaysHowItFailed) {
  const std::atomic<bool> stopping = false;
  EXPECT_EQ(deliver_to_command("/nosuch/program")("x", stopping).error().message,
            "it could not be started: No such file or directory");
  const Script script("exit 3");
  EXPECT_EQ(deliver_to_command(script.path())(std::string(1 << 20, 'x'), stopping).error().message,
            "its exit code is 3");
  const std::atomic<bool> stopped = true;
  const Script hangs("exec sleep 60");
  EXPECT_EQ(deliver_to_command(hangs.path())("x", stopped).error().message, "it took too long, and was killed");
}

/// Whether one of these comes within half a minute.
bool comes(int file, short events) {
  constexpr int half_a_minute = 30'000;
  pollfd asked{.fd = file, .events = events, .revents = 0};
  return poll(&asked, 1, half_a_minute) == 1;
}

TEST(DeliverToCommand, KillsWhatItStartedToo) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("deliver_test.{}.p", getpid())).string();
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int pipe = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(pipe, 0);
  // What runs in the background holds the pipe open.
  const Script script("(echo up; exec sleep 300) >" + path + " & wait");
  std::atomic<bool> stopping = false;
  std::thread stops([&] {
    EXPECT_TRUE(comes(pipe, POLLIN));
    stopping = true;
  });
  EXPECT_FALSE(deliver_to_command(script.path())("x", stopping));
  stops.join();
  std::array<char, 8> text{};
  EXPECT_EQ(read(pipe, text.data(), text.size()), 3);
  EXPECT_TRUE(comes(pipe, 0)) << "the pipe's other end is closed";
  close(pipe);
  std::filesystem::remove(path);
}

TEST(DeliverToWebhook, SaysHowItFailed) {
  const std::atomic<bool> stopping = false;
  EXPECT_FALSE(deliver_to_webhook("http://127.0.0.1:1/")("{}", stopping));
  EXPECT_FALSE(deliver_to_webhook("file:///etc/passwd")("{}", stopping)) << "the web only";
}

}  // namespace
}  // namespace millrace::http
