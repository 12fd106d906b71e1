#pragma once

#include <bit>
#include <string>
#include <string_view>
#include <vector>

#include "integration/pgoutput.hpp"
#include "pgwire/protocol/reader.hpp"

/// Messages of pgoutput, as a server writes them; for tests.
namespace millrace::integration::made {

using pgoutput::Oid;
using pgoutput::Xid;

class Bytes {
 public:
  explicit Bytes(char type) : out_(1, type) {}
  Bytes& u8(int value) {
    out_ += static_cast<char>(value);
    return *this;
  }
  Bytes& u16(std::uint16_t value) { return raw(std::byteswap(value)); }
  Bytes& u32(std::uint32_t value) { return raw(std::byteswap(value)); }
  Bytes& u64(std::uint64_t value) { return raw(std::byteswap(value)); }
  Bytes& text(std::string_view value) {
    out_.append(value).append(1, '\0');
    return *this;
  }
  Bytes& plain(std::string_view value) {
    out_ += value;
    return *this;
  }
  Bytes& xid(Xid value) { return value == 0 ? *this : u32(value); }
  std::string done() { return std::move(out_); }

 private:
  template <typename T>
  Bytes& raw(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  std::string out_;
};

/// "n" and "u" are null and unchanged; anything else is text after its first letter, 't'.
using Values = std::vector<std::string>;

inline void append_tuple(Bytes& out, const Values& values) {
  out.u16(static_cast<std::uint16_t>(values.size()));
  for (const auto& value : values) {
    out.u8(value[0]);
    if (value[0] == 't' || value[0] == 'b') {
      out.u32(static_cast<std::uint32_t>(value.size() - 1)).plain(std::string_view(value).substr(1));
    }
  }
}

inline std::string begin(Xid xid) { return Bytes('B').u64(0x100).u64(7).u32(xid).done(); }
inline std::string commit() { return Bytes('C').u8(0).u64(0x100).u64(0x108).u64(7).done(); }
inline std::string relation(Oid oid, std::string_view name, Xid xid = 0) {
  Bytes out('R');
  out.xid(xid).u32(oid).text("public").text(name).u8('d').u16(2);
  out.u8(1).text("id").u32(23).u32(0xffffffff);
  out.u8(0).text("name").u32(25).u32(0xffffffff);
  return out.done();
}
inline std::string insert(Oid oid, const Values& row, Xid xid = 0) {
  Bytes out('I');
  out.xid(xid).u32(oid).u8('N');
  append_tuple(out, row);
  return out.done();
}
inline std::string update(Oid oid, char old_kind, const Values& old_row, const Values& row, Xid xid = 0) {
  Bytes out('U');
  out.xid(xid).u32(oid);
  if (old_kind != 'N') append_tuple(out.u8(old_kind), old_row);
  append_tuple(out.u8('N'), row);
  return out.done();
}
inline std::string delete_(Oid oid, char old_kind, const Values& old_row, Xid xid = 0) {
  Bytes out('D');
  out.xid(xid).u32(oid).u8(old_kind);
  append_tuple(out, old_row);
  return out.done();
}
inline std::string truncate(const std::vector<Oid>& oids, int options = 0, Xid xid = 0) {
  Bytes out('T');
  out.xid(xid).u32(static_cast<std::uint32_t>(oids.size())).u8(options);
  for (const Oid oid : oids) out.u32(oid);
  return out.done();
}
inline std::string origin() { return Bytes('O').u64(5).text("elsewhere").done(); }
inline std::string type(Xid xid = 0) { return Bytes('Y').xid(xid).u32(16400).text("public").text("mood").done(); }
inline std::string message(std::string_view content, Xid xid = 0) {
  Bytes out('M');
  out.xid(xid).u8(1).u64(9).text("prefix").u32(static_cast<std::uint32_t>(content.size())).plain(content);
  return out.done();
}
inline std::string stream_start(Xid xid, bool first) { return Bytes('S').u32(xid).u8(first ? 1 : 0).done(); }
inline std::string stream_stop() { return Bytes('E').done(); }
inline std::string stream_commit(Xid xid) { return Bytes('c').u32(xid).u8(0).u64(0x200).u64(0x208).u64(8).done(); }
inline std::string stream_abort(Xid xid, Xid sub_xid) { return Bytes('A').u32(xid).u32(sub_xid).done(); }

}  // namespace millrace::integration::made
