#include "gateway/client_input.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::gateway {

void ClientInput::consume(std::size_t count) {
  held_ -= count;
  if (held_ > 0 && count > 0) std::memmove(buffer_.data(), buffer_.data() + count, held_);
  if (held_ <= large && charged_ > 0) resize(large);
}

bool ClientInput::put_back(std::string_view bytes) {
  const std::size_t needed = held_ + bytes.size();
  if (needed > buffer_.size() && !resize(std::max(needed, std::min(2 * needed, large)))) return false;
  std::memmove(buffer_.data() + bytes.size(), buffer_.data(), held_);
  std::memcpy(buffer_.data(), bytes.data(), bytes.size());
  held_ = needed;
  return true;
}

bool ClientInput::reserve_for_next_read(bool idle) {
  if (held_ == buffer_.size()) return resize(std::max(buffer_.size() * 2, small));
  if (last_read_filled_ && buffer_.size() < large) return resize(buffer_.size() * 4);
  if (idle && held_ == 0 && buffer_.size() > small) return resize(small);
  return true;
}

bool ClientInput::reserve_small() {
  if (held_ < buffer_.size()) return true;
  return buffer_.size() < large && resize(std::min(buffer_.size() * 2, large));
}

std::size_t ClientInput::give_back_memory() {
  const std::size_t needed = std::max(small, held_);
  if (buffer_.capacity() <= 2 * needed) return 0;
  const std::size_t before = buffer_.capacity();
  resize(needed);
  return before - needed;
}

/// What is held of it stays.
bool ClientInput::resize(std::size_t size) {
  const std::size_t charge = size > large ? size : 0;
  if (charge > charged_ && by_all_.now.fetch_add(charge - charged_) + charge - charged_ > by_all_.most) {
    by_all_.now.fetch_sub(charge - charged_);
    return false;
  }
  if (charge < charged_) by_all_.now.fetch_sub(charged_ - charge);
  charged_ = charge;
  if (size > buffer_.size()) {
    buffer_.resize(size);
  } else {
    std::vector<std::byte> smaller(size);
    std::copy_n(buffer_.begin(), std::min(held_, size), smaller.begin());
    buffer_ = std::move(smaller);
  }
  return true;
}

}  // namespace millrace::gateway
