#pragma once

#include <exception>
#include <string>

namespace millrace::http {

/// Why a handler failed, for a log: also of one that throws something of its own.
inline std::string reason_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

}  // namespace millrace::http
