#include "http/deliver.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

extern char** environ;

namespace millrace::http {
namespace {

constexpr long patience_seconds = 10;
constexpr long connect_seconds = 5;
constexpr auto between_looks = std::chrono::milliseconds(20);

using Curl = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using CurlList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

std::size_t take_no_answer(char*, std::size_t size, std::size_t count, void*) { return size * count; }

int stop_if_asked(void* stopping, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(stopping)->load() ? 1 : 0;
}

Result<> post(const std::string& url, const std::string& text, const std::atomic<bool>& stopping) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const Curl curl(ready == CURLE_OK ? curl_easy_init() : nullptr, curl_easy_cleanup);
  const CurlList headers(curl_slist_append(nullptr, "Content-Type: application/json"), curl_slist_free_all);
  if (!curl || !headers) return fail("libcurl could not be started");
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_USERAGENT, "millrace");
  set(CURLOPT_POSTFIELDS, text.c_str());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(text.size()));
  set(CURLOPT_CONNECTTIMEOUT, connect_seconds);
  set(CURLOPT_TIMEOUT, patience_seconds);
  set(CURLOPT_NOSIGNAL, 1L);
  // Or the end would wait for a name's resolution, which nothing interrupts.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_WRITEFUNCTION, &take_no_answer);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &stop_if_asked);
  set(CURLOPT_XFERINFODATA, const_cast<std::atomic<bool>*>(&stopping));
  const CURLcode done = curl_easy_perform(curl.get());
  if (done != CURLE_OK) return fail(curl_easy_strerror(done));
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status < 200 || status > 299) return fail(fmt::format("the answer's status is {}", status));
  return {};
}

class File {
 public:
  explicit File(int number) : number_(number) {}
  ~File() {
    if (number_ >= 0) close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

/// Its exit code, or that it had to be killed, and with it what it started.
Result<> wait_for(pid_t child, const std::atomic<bool>& stopping) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(patience_seconds);
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(child, &status, WNOHANG)) == 0) {
    if (stopping || std::chrono::steady_clock::now() >= until) {
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
      return fail("it took too long, and was killed");
    }
    std::this_thread::sleep_for(between_looks);
  }
  if (ended < 0) return fail(std::string("it was lost: ") + std::strerror(errno));
  if (WIFSIGNALED(status)) return fail(fmt::format("it was ended by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) return fail(fmt::format("its exit code is {}", WEXITSTATUS(status)));
  return {};
}

Result<> run(const std::string& program, const std::string& text, const std::atomic<bool>& stopping) {
  // A file, so that it doesn't matter whether the program reads it.
  const File input(memfd_create("alert", MFD_CLOEXEC));
  if (input.number() < 0 || write(input.number(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      lseek(input.number(), 0, SEEK_SET) != 0) {
    return fail(std::string("its input could not be made: ") + std::strerror(errno));
  }
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input.number(), STDIN_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  // This process ignores SIGPIPE; programs rarely expect that.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t usual;
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::string name = program;
  std::array<char*, 2> arguments = {name.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawn(&child, program.c_str(), &files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return fail(std::string("it could not be started: ") + std::strerror(error));
  return wait_for(child, stopping);
}

}  // namespace

NotificationChannel::Deliver deliver_to_webhook(std::string url) {
  return [url = std::move(url)](const std::string& text, const std::atomic<bool>& stopping) {
    return post(url, text, stopping);
  };
}

NotificationChannel::Deliver deliver_to_command(std::string program) {
  return [program = std::move(program)](const std::string& text, const std::atomic<bool>& stopping) {
    return run(program, text, stopping);
  };
}

}  // namespace millrace::http
