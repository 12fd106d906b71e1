#include "pipeline/bound_values.hpp"

#include "pipeline/question_key.hpp"

namespace millrace::pipeline {

namespace {

/// What PostgreSQL takes for no type.
constexpr catalog::Oid unknown = 705;

template <typename List>
List list_of(pgwire::Reader& reader, std::size_t size_of_one) {
  const std::uint16_t count = reader.u16();
  return List(reader.bytes(count * size_of_one));
}

}  // namespace

BoundValues::BoundValues(const Question& question) {
  if (question.kind != Question::Kind::execute) return;
  const auto query = text_of(question);
  if (query.size() == question.text.size()) return;
  pgwire::Reader types(pgwire::as_bytes(question.text.substr(query.size() + 1)));
  types_ = list_of<pgwire::OidList>(types, sizeof(std::uint32_t));
  pgwire::Reader bound(pgwire::as_bytes(question.parameters));
  formats_ = list_of<pgwire::FormatList>(bound, sizeof(std::uint16_t));
  const std::uint16_t count = bound.u16();
  for (std::uint16_t i = 0; i < count && bound.good(); ++i) {
    const auto value = bound.value();
    values_.push_back(value ? std::optional(pgwire::as_text(*value)) : std::nullopt);
  }
  if (!types.good() || !bound.good()) values_.clear();
}

std::optional<BoundValue> BoundValues::find(std::uint32_t parameter) const {
  if (parameter == 0 || parameter > values_.size()) return std::nullopt;
  const std::size_t at = parameter - 1;
  BoundValue value{.bytes = values_[at]};
  if (at < types_.size() && types_[at] != unknown) value.type = types_[at];
  if (formats_.size() > 1 && at >= formats_.size()) return std::nullopt;
  if (!formats_.empty()) value.is_binary = formats_[formats_.size() == 1 ? 0 : at] != 0;
  return value;
}

}  // namespace millrace::pipeline
