#include "cli/cores.hpp"

#include <pthread.h>
#include <sched.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace millrace::cli {
namespace {

namespace asio = boost::asio;

// PostgreSQL's parser recurses with the depth of a statement, and runs on these threads.
constexpr std::size_t stack_size = 16 << 20;

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace

struct Cores::Core {
  asio::io_context context{1};  // the hint says that one thread runs it
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  pthread_t thread{};
  bool started = false;
};

Cores::Cores(int count) {
  // A query costs its client and its server several times what it costs here; with a thread a processor they are only
  // interrupted more often (bench/passthrough).
  if (count == 0) count = (usable_processors() + 1) / 2;
  for (int i = 0; i < count; ++i) cores_.push_back(std::make_unique<Core>());
}

Cores::~Cores() { stop(); }

std::vector<asio::io_context*> Cores::contexts() const {
  std::vector<asio::io_context*> all;
  all.reserve(cores_.size());
  for (const auto& core : cores_) all.push_back(&core->context);
  return all;
}

Result<> Cores::start() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  int error = pthread_attr_setstacksize(&attributes, stack_size);
  for (std::size_t i = 0; error == 0 && i < cores_.size(); ++i) {
    Core& core = *cores_[i];
    const auto run = [](void* context) -> void* {
      static_cast<asio::io_context*>(context)->run();
      return nullptr;
    };
    error = pthread_create(&core.thread, &attributes, run, &core.context);
    if (error != 0) break;
    core.started = true;
    pthread_setname_np(core.thread, fmt::format("millrace-io-{}", i).c_str());
  }
  pthread_attr_destroy(&attributes);
  if (error != 0) return fail(fmt::format("could not start a thread: {}", std::strerror(error)));
  return {};
}

void Cores::stop() {
  for (const auto& core : cores_) core->context.stop();
  for (const auto& core : cores_) {
    if (std::exchange(core->started, false)) pthread_join(core->thread, nullptr);
  }
}

}  // namespace millrace::cli
