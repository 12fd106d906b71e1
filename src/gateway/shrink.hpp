#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "gateway/name_map.hpp"

/// What a client once needed more of than it does now goes back. Each answers how many bytes about.
namespace millrace::gateway {

// What is kept at hand of each, so that a client with small queries never allocates.
constexpr std::size_t small_text = 1024;
constexpr std::size_t few = 16;

inline std::size_t shrink(std::string& text) {
  if (text.capacity() <= small_text) return 0;
  const std::size_t before = text.capacity();
  text.shrink_to_fit();
  return before - text.capacity();
}

template <typename T>
std::size_t shrink(std::vector<T>& list) {
  if (list.capacity() <= few || list.size() > list.capacity() / 4) return 0;
  const std::size_t before = list.capacity();
  list.shrink_to_fit();
  return (before - list.capacity()) * sizeof(T);
}

template <typename T>
std::size_t shrink(NameMap<T>& names) {
  if (names.bucket_count() <= few || names.size() > names.bucket_count() / 4) return 0;
  const std::size_t before = names.bucket_count();
  names.rehash(0);
  return (before - names.bucket_count()) * sizeof(typename NameMap<T>::value_type);
}

}  // namespace millrace::gateway
