#include "sql/parse_pool.hpp"

#include <malloc.h>
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

namespace millrace::sql {
namespace {

/// Address space only: the kernel gives memory to what is touched.
constexpr std::size_t stack_bytes = std::size_t{512} * 1024 * 1024;

/// The tree of a text takes up to 300 times the text's size. What a large one took goes back to the system.
constexpr std::size_t large_text = std::size_t{64} * 1024;

}  // namespace

struct ParsePool::State {
  struct Job {
    std::string text;
    Done done;
    std::function<void()> run = {};  ///< instead
  };
  std::mutex mutex;
  std::condition_variable more;
  std::deque<Job> waiting;
  bool stopping = false;
  std::vector<pthread_t> threads;

  static void* run(void* self) {
    static_cast<State*>(self)->work();
    return nullptr;
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      more.wait(lock, [this] { return stopping || !waiting.empty(); });
      if (stopping) return;
      Job job = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      if (job.run) {
        job.run();
      } else {
        job.done(sql::parse(job.text));
      }
      if (job.text.size() > large_text) malloc_trim(0);
      job = {};
      lock.lock();
    }
  }
};

ParsePool::ParsePool(std::size_t threads) : state_(std::make_unique<State>()) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  for (std::size_t i = 0; i < threads; ++i) {
    pthread_t thread{};
    if (pthread_create(&thread, &attributes, State::run, state_.get()) == 0) state_->threads.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
}

ParsePool::~ParsePool() {
  std::deque<State::Job> unanswered;
  {
    const std::scoped_lock lock(state_->mutex);
    state_->stopping = true;
    unanswered.swap(state_->waiting);
  }
  state_->more.notify_all();
  for (const pthread_t thread : state_->threads) pthread_join(thread, nullptr);
  for (const auto& job : unanswered) {
    if (job.done) job.done(unparsed("the parser is shutting down"));
  }
}

void ParsePool::parse(std::string text, Done done) {
  {
    const std::scoped_lock lock(state_->mutex);
    if (!state_->stopping && !state_->threads.empty()) {
      state_->waiting.push_back({.text = std::move(text), .done = std::move(done)});
      state_->more.notify_one();
      return;
    }
  }
  done(unparsed("there is no thread to parse it"));
}

void ParsePool::run(std::function<void()> job) {
  const std::scoped_lock lock(state_->mutex);
  if (state_->stopping || state_->threads.empty()) return;
  state_->waiting.push_back({.text = {}, .done = {}, .run = std::move(job)});
  state_->more.notify_one();
}

}  // namespace millrace::sql
