#include "base/fuzz/subject.hpp"
#include "pgwire/fuzz/subjects.hpp"

millrace::fuzz::Subject millrace::fuzz::find_subject(std::string_view name) {
  for (const pgwire::fuzz::Message& message : pgwire::fuzz::messages()) {
    if (message.name == name) return message.accepts;
  }
  for (const pgwire::fuzz::Machine& machine : pgwire::fuzz::machines()) {
    if (machine.name == name) return machine.run;
  }
  return nullptr;
}
