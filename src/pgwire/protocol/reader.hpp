#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/result.hpp"
#include "pgwire/protocol/frame.hpp"

namespace millrace::pgwire {

inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

/// The NUL-terminated string at the start of `bytes`, without its NUL; nullopt if the NUL isn't there (yet).
inline std::optional<std::string_view> leading_string(Bytes bytes) {
  if (bytes.empty()) return std::nullopt;
  const void* end = std::memchr(bytes.data(), 0, bytes.size());
  if (end == nullptr) return std::nullopt;
  return as_text(bytes.first(static_cast<const std::byte*>(end) - bytes.data()));
}

/// Reads a message's body from front to back. After the first thing that isn't there every read gives nothing (zero,
/// empty), so a decoder reads all its fields and asks once, in `finish`, whether all was well.
class Reader {
 public:
  explicit Reader(Bytes body) : rest_(body) {}

  std::uint8_t u8() { return need(1, Fault::byte) ? static_cast<std::uint8_t>(take(1)[0]) : std::uint8_t{0}; }
  std::uint16_t u16() { return need(2) ? load_u16(take(2).data()) : std::uint16_t{0}; }
  std::uint32_t u32() { return need(4) ? load_u32(take(4).data()) : 0; }
  std::int16_t i16() { return static_cast<std::int16_t>(u16()); }
  std::int32_t i32() { return static_cast<std::int32_t>(u32()); }
  Bytes bytes(std::size_t count) { return need(count) ? take(count) : Bytes{}; }
  std::string_view string() {
    if (fault_ != Fault::none) return {};
    const auto text = leading_string(rest_);
    if (!text) {
      fault_ = Fault::string;
      return {};
    }
    rest_ = rest_.subspan(text->size() + 1);
    return *text;
  }
  /// A 32-bit length and as many bytes; -1 is a null, any other negative length a fault.
  std::optional<Bytes> value() {
    const std::int32_t length = i32();
    if (length == -1) return std::nullopt;
    if (length < 0) {
      if (fault_ == Fault::none) fault_ = Fault::data;
      return Bytes{};
    }
    return bytes(static_cast<std::size_t>(length));
  }

  Bytes rest() const { return fault_ == Fault::none ? rest_ : Bytes{}; }
  bool good() const { return fault_ == Fault::none; }

  /// PostgreSQL's words for a body that is too short, has an unterminated string, or goes on after its end. 08P01.
  Result<> finish() const;

 private:
  enum class Fault : std::uint8_t { none, byte, data, string };

  bool need(std::size_t count, Fault otherwise = Fault::data) {
    if (fault_ != Fault::none) return false;
    if (rest_.size() >= count) return true;
    fault_ = otherwise;
    return false;
  }
  Bytes take(std::size_t count) {
    const Bytes taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }

  Bytes rest_;
  Fault fault_ = Fault::none;
};

}  // namespace millrace::pgwire
