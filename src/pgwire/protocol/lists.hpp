#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>

#include "pgwire/protocol/field.hpp"
#include "pgwire/protocol/reader.hpp"

/// The repeated parts of message bodies, as views over the body: nothing is copied. A decoder makes a list only after
/// it has walked all of it once, so going through one can't fail.
namespace millrace::pgwire {

/// Big-endian integers one after another.
template <typename T>
class IntegerList {
 public:
  IntegerList() = default;
  explicit IntegerList(Bytes bytes) : bytes_(bytes) {}

  std::size_t size() const { return bytes_.size() / sizeof(T); }
  bool empty() const { return bytes_.empty(); }
  T operator[](std::size_t i) const {
    if constexpr (sizeof(T) == 2) {
      return static_cast<T>(load_u16(bytes_.data() + i * sizeof(T)));
    } else {
      return static_cast<T>(load_u32(bytes_.data() + i * sizeof(T)));
    }
  }

 private:
  Bytes bytes_;
};

using FormatList = IntegerList<std::int16_t>;
using OidList = IntegerList<std::uint32_t>;

/// Items of unequal length, read by `Item`: `static Item::type read(Reader&)`.
template <typename Item>
class ItemList {
 public:
  ItemList() = default;
  ItemList(Bytes bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  class Iterator {
   public:
    using value_type = typename Item::type;
    using difference_type = std::ptrdiff_t;

    Iterator(Bytes bytes, std::size_t left) : reader_(bytes), left_(left) { load(); }
    const value_type& operator*() const { return item_; }
    const value_type* operator->() const { return &item_; }
    Iterator& operator++() {
      --left_;
      load();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return left_ == 0; }

   private:
    void load() {
      if (left_ > 0) item_ = Item::read(reader_);
    }
    Reader reader_;
    std::size_t left_;
    value_type item_{};
  };

  Iterator begin() const { return {bytes_, size_}; }
  std::default_sentinel_t end() const { return {}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  Bytes bytes_;
  std::size_t size_ = 0;
};

namespace items {
struct Value {
  using type = std::optional<Bytes>;
  static type read(Reader& from) { return from.value(); }
};
struct String {
  using type = std::string_view;
  static type read(Reader& from) { return from.string(); }
};
struct Field {
  using type = FieldDescription;
  static type read(Reader& from);
};
/// A field of an ErrorResponse or NoticeResponse: its code (manual, 55.8) and text.
struct Notice {
  struct type {
    char code = 0;
    std::string_view text;
  };
  static type read(Reader& from);
};
}  // namespace items

/// nullopt is SQL's NULL.
using ValueList = ItemList<items::Value>;
using StringList = ItemList<items::String>;
using FieldList = ItemList<items::Field>;
using NoticeFieldList = ItemList<items::Notice>;

}  // namespace millrace::pgwire
