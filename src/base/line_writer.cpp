#include "base/line_writer.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

namespace millrace::log {
namespace {

std::uint64_t lines_in(std::string_view text) { return static_cast<std::uint64_t>(std::ranges::count(text, '\n')); }

/// As many whole lines as a pipe takes in one piece, so that none is mixed with another process's.
std::string_view next_piece(std::string_view text) {
  if (text.size() <= PIPE_BUF) return text;
  const std::size_t end = text.rfind('\n', PIPE_BUF - 1);
  return text.substr(0, end == std::string_view::npos ? PIPE_BUF : end + 1);
}

/// False: it can't be written.
bool write_piece(int descriptor, std::string_view piece) {
  while (!piece.empty()) {
    const ssize_t written = ::write(descriptor, piece.data(), piece.size());
    if (written >= 0) {
      piece.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {  // whoever shares it has made it so
      pollfd writable{.fd = descriptor, .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

struct LineWriter::State {
  State(int to, std::size_t most, TellLost tell) : descriptor(to), max_bytes(most), tell_lost(std::move(tell)) {}

  const int descriptor;
  const std::size_t max_bytes;
  const TellLost tell_lost;

  std::mutex mutex;
  std::condition_variable more;
  std::condition_variable done;
  std::string waiting;
  std::size_t unwritten = 0;  ///< what is waiting, and what is being written
  std::uint64_t lost = 0;
  std::uint64_t told = 0;  ///< of the lost ones
  bool tells = false;      ///< there was no room for some: that is to be told, even if nothing more is written
  bool writing = false;
  bool stopping = false;

  bool has_work() const { return !waiting.empty() || tells; }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      more.wait(lock, [this] { return stopping || has_work(); });
      if (stopping) return;
      writing = true;
      std::string text = std::exchange(waiting, {});
      write_all(lock, text);
      if (waiting.empty() && lost > told) {
        const std::uint64_t count = lost;
        tells = false;
        lock.unlock();
        const bool written = write_piece(descriptor, tell_lost(count - told) + '\n');
        lock.lock();
        if (written) told = count;
      }
      writing = false;
      if (!has_work()) done.notify_all();
    }
  }

  void write_all(std::unique_lock<std::mutex>& lock, std::string_view text) {
    while (!text.empty() && !stopping) {
      const std::string_view piece = next_piece(text);
      lock.unlock();
      const bool written = write_piece(descriptor, piece);
      lock.lock();
      unwritten -= piece.size();
      text.remove_prefix(piece.size());
      if (!written) lost += lines_in(piece);
    }
  }
};

LineWriter::LineWriter(int descriptor, std::size_t max_bytes, TellLost tell_lost)
    : state_(std::make_shared<State>(descriptor, max_bytes, std::move(tell_lost))) {
  // Signals are for the threads that wait for them; a reader that is gone is an error of the write.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([state = state_] { state->work(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LineWriter::~LineWriter() {
  const std::scoped_lock lock(state_->mutex);
  state_->stopping = true;
  state_->more.notify_all();
}

void LineWriter::write(std::string_view line) {
  const std::scoped_lock lock(state_->mutex);
  if (state_->unwritten + line.size() + 1 > state_->max_bytes) {
    ++state_->lost;
    state_->tells = true;
    return;
  }
  state_->unwritten += line.size() + 1;
  state_->waiting += line;
  state_->waiting += '\n';
  if (!state_->writing) state_->more.notify_one();
}

bool LineWriter::flush(std::chrono::milliseconds limit) {
  std::unique_lock lock(state_->mutex);
  return state_->done.wait_for(lock, limit, [this] { return !state_->has_work() && !state_->writing; });
}

std::uint64_t LineWriter::lost() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->lost;
}

}  // namespace millrace::log
