#include "base/fuzz/subject.hpp"
#include "integration/fuzz/subjects.hpp"

millrace::fuzz::Subject millrace::fuzz::find_subject(std::string_view name) {
  if (name == "transactions") return integration::fuzz::transactions;
  if (name == "copy_data") return integration::fuzz::copy_data;
  if (name == "framing") return integration::fuzz::framing;
  return nullptr;
}
