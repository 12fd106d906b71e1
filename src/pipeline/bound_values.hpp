#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/snapshot.hpp"
#include "pgwire/protocol/lists.hpp"
#include "pipeline/exchange.hpp"

namespace millrace::pipeline {

/// A parameter's value, as a client has sent it.
struct BoundValue {
  catalog::Oid type = 0;  ///< that the client gave it; 0: none, so PostgreSQL takes what fits where it stands
  bool is_binary = false;
  std::optional<std::string_view> bytes;  ///< null: NULL
};

/// The parameters of a question. What they say points into the question.
class BoundValues {
 public:
  explicit BoundValues(const Question& question);

  /// From 1 on. Null: there is none.
  std::optional<BoundValue> find(std::uint32_t parameter) const;

 private:
  pgwire::OidList types_;
  pgwire::FormatList formats_;
  std::vector<std::optional<std::string_view>> values_;
};

}  // namespace millrace::pipeline
