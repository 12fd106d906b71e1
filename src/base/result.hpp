#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

/// What went wrong, in our own words, and how it reaches a client.
///
/// `sqlstate` is PostgreSQL's five-character code (manual, appendix A); empty where no client is concerned, such as a
/// configuration error. `message` and `hint` never hold text from a client or a server: that goes into `detail`, so a
/// log may leave it out.
struct Error {
  std::string message = {};
  std::string sqlstate = {};
  std::string hint = {};
  std::string detail = {};

  static Error because(std::string_view message) { return Error{.message = std::string(message)}; }
};

/// A value or an Error. The data path throws no exceptions.
template <typename T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(std::string message, std::string sqlstate = {}, std::string hint = {},
                                   std::string detail = {}) {
  return std::unexpected(Error{.message = std::move(message),
                               .sqlstate = std::move(sqlstate),
                               .hint = std::move(hint),
                               .detail = std::move(detail)});
}

}  // namespace millrace
