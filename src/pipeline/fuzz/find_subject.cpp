#include "base/fuzz/subject.hpp"
#include "pipeline/fuzz/subjects.hpp"

millrace::fuzz::Subject millrace::fuzz::find_subject(std::string_view name) {
  const auto over_text = [](void (*subject)(std::string_view)) {
    return
        [=](std::span<const std::byte> input) { subject({reinterpret_cast<const char*>(input.data()), input.size()}); };
  };
  if (name == "rows_read") return over_text(pipeline::fuzz::rows_read);
  if (name == "value_text") return over_text(pipeline::fuzz::value_text);
  return nullptr;
}
