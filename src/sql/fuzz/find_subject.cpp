#include "base/fuzz/subject.hpp"
#include "sql/fuzz/subjects.hpp"

millrace::fuzz::Subject millrace::fuzz::find_subject(std::string_view name) {
  const auto over_text = [](void (*subject)(std::string_view)) {
    return
        [=](std::span<const std::byte> input) { subject({reinterpret_cast<const char*>(input.data()), input.size()}); };
  };
  if (name == "parse") return over_text(sql::fuzz::parse);
  if (name == "memo") return over_text(sql::fuzz::memo);
  return nullptr;
}
