#include "base/fuzz/subject.hpp"
#include "http/fuzz/subjects.hpp"

millrace::fuzz::Subject millrace::fuzz::find_subject(std::string_view name) {
  const auto over_text = [](void (*subject)(std::string_view)) {
    return
        [=](std::span<const std::byte> input) { subject({reinterpret_cast<const char*>(input.data()), input.size()}); };
  };
  if (name == "request") return over_text(http::fuzz::request);
  if (name == "body") return over_text(http::fuzz::body);
  return nullptr;
}
