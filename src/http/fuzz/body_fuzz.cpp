// Any bytes as a request's JSON body: they are read or refused, and what was read is written and read again the same.
#include <cstdlib>

#include "http/fuzz/sample.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace::http;
  const auto first = read_body<sample::Search>({reinterpret_cast<const char*>(data), size});
  if (!first) {
    if (first.error().empty() || first.error().size() > Findings::most) std::abort();
    return 0;
  }
  const std::string text = to_json(*first);
  const auto second = read_body<sample::Search>(text);
  if (!second || to_json(*second) != text) std::abort();
  return 0;
}
