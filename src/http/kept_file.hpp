#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::http {

/// A file that is read once, at the start, and from then on written whole. What is there and can't be read is never
/// overwritten. Not thread-safe.
class KeptFile {
 public:
  /// `path`: "": nothing is kept. `what` is in it, for the log.
  KeptFile(std::string path, std::string what) : path_(std::move(path)), what_(std::move(what)) {}

  /// Its text. Null: it isn't there; or it can't be read, and is set aside; or it can't be read at present, as there is
  /// no memory, say, and nothing is written in its place.
  std::optional<std::string> read();
  /// Its text can't be understood. It gets another name, with ".unreadable" at its end, and a number behind that where
  /// there is such a file already; which is an error in the log. If it can't, nothing is written in its place.
  void set_aside(std::string_view reason);

  /// An error, too, where there is a file that could not be set aside.
  Result<> replace(std::string_view text) const;

 private:
  std::string path_, what_;
  bool is_in_the_way_ = false;  ///< it could not be read, nor set aside
};

}  // namespace millrace::http
