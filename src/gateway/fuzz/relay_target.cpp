// One fuzz target: the function of relay_exchange.hpp that the build names in MILLRACE_FUZZ_SUBJECT.
#include "gateway/fuzz/relay_exchange.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::gateway::fuzz::MILLRACE_FUZZ_SUBJECT(std::as_bytes(std::span(data, size)));
  return 0;
}
