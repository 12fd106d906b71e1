// One program a room, for libFuzzer: ROOM_fuzz SUBJECT [libFuzzer's options and corpus folders]
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "base/fuzz/subject.hpp"

namespace {
millrace::fuzz::Subject subject;
}

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc > 1) subject = millrace::fuzz::find_subject((*argv)[1]);
  if (!subject) {
    std::fprintf(stderr, "usage: %s SUBJECT [OPTION OF LIBFUZZER | CORPUS FOLDER]...\n", (*argv)[0]);
    std::exit(2);
  }
  for (int i = 1; i < *argc; ++i) (*argv)[i] = (*argv)[i + 1];  // argv ends with a null
  --*argc;
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  subject(std::as_bytes(std::span(data, size)));
  return 0;
}
