// One fuzz target: the subject that the build names in MILLRACE_FUZZ_SUBJECT.
#include "pgwire/fuzz/subjects.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto run = millrace::pgwire::fuzz::find(MILLRACE_FUZZ_SUBJECT);
  run(std::as_bytes(std::span(data, size)));
  return 0;
}
