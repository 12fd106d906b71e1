#pragma once

#include <string>
#include <string_view>

#include "pgwire/protocol/frame.hpp"

namespace millrace::gateway {

/// Bytes on their way from one side to the other: they are passed on as they lie, and copied only if something has to
/// be put between them or left out.
class Passage {
 public:
  void begin(pgwire::Bytes in) {
    in_ = in;
    copied_ = 0;
    rewritten_ = false;
    out_.clear();
  }
  /// Before what is at `at`. Positions never go back.
  void put(std::size_t at, std::string_view text) {
    if (text.empty()) return;
    leave_out(at, at);
    out_.append(text);
  }
  void leave_out(std::size_t from, std::size_t to) {
    out_.append(reinterpret_cast<const char*>(in_.data()) + copied_, from - copied_);
    copied_ = to;
    rewritten_ = true;
  }
  /// All that goes out of what was read up to `end`; valid until the next `begin`, and as long as the input is.
  pgwire::Bytes out(std::size_t end) {
    if (!rewritten_) return in_.first(end);
    leave_out(end, end);
    return std::as_bytes(std::span(out_));
  }

  std::string& buffer() { return out_; }

 private:
  pgwire::Bytes in_;
  std::size_t copied_ = 0;  ///< what lies before it is in `out_`, or was left out
  bool rewritten_ = false;
  std::string out_;
};

}  // namespace millrace::gateway
