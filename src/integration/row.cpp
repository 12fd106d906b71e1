#include "integration/row.hpp"

#include "pgwire/protocol/reader.hpp"

namespace millrace::integration {

Row::Row(const pgoutput::Tuple& tuple) {
  std::size_t size = 0;
  for (const auto& value : tuple) size += value.data.size();
  bytes_.reserve(size);
  cells_.reserve(tuple.size());
  for (const auto& value : tuple) {
    bytes_ += pgwire::as_text(value.data);
    cells_.push_back({value.kind, static_cast<std::uint32_t>(bytes_.size())});
  }
}

}  // namespace millrace::integration
