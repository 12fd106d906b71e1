#include "sql/stack_left.hpp"

#include <pthread.h>

#include <cstdint>

namespace millrace::sql {

namespace {

/// The lowest address of this thread's stack.
const char* stack_end() {
  thread_local const char* const end = [] {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return static_cast<const char*>(nullptr);
    void* lowest = nullptr;
    std::size_t size = 0;
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
    return static_cast<const char*>(lowest);
  }();
  return end;
}

}  // namespace

std::size_t stack_left() {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return here - reinterpret_cast<std::uintptr_t>(stack_end());
}

}  // namespace millrace::sql
