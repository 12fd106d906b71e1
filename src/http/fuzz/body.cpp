// Any bytes as a request's JSON body: they are read or refused, and what was read is written and read again the same;
// of JSON that is kept as it is, the right part.
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "http/fuzz/sample.hpp"
#include "http/fuzz/subjects.hpp"

namespace {

/// As texts: Boost.JSON 1.81 reads 0e309 as NaN, which is equal to nothing.
bool differ(const boost::json::value& one, const boost::json::value& other) {
  return boost::json::serialize(one) != boost::json::serialize(other);
}

void raw_member(std::string_view input) {
  using namespace millrace::http;
  const auto kept = read_body<sample::Kept>(input);
  if (!kept) return;
  Findings findings("body");
  const boost::json::value whole = parse_json(input, findings);
  const boost::json::value part = parse_json(kept->what.text, findings);
  if (!findings.empty() || differ(part, whole.at("what"))) std::abort();
  if (!part.is_array()) return;
  boost::json::array elements;
  for (const auto element : element_texts(kept->what.text)) elements.push_back(parse_json(element, findings));
  if (!findings.empty() || differ(elements, part)) std::abort();
}

}  // namespace

void millrace::http::fuzz::body(std::string_view input) {
  raw_member(input);
  const auto first = read_body<sample::Search>(input);
  if (!first) {
    if (first.error().empty() || first.error().size() > Findings::most) std::abort();
    return;
  }
  const std::string text = to_json(*first);
  auto second = read_body<sample::Search>(text);
  if (!second || second->filters.size() != first->filters.size()) std::abort();
  // Boost.JSON 1.81 reads some numbers by a last bit too much or too little.
  for (std::size_t i = 0; i < first->filters.size(); ++i) {
    const auto& before = first->filters[i].above;
    auto& after = second->filters[i].above;
    if (!before || !after) continue;
    const double bit = std::abs(*before) * 1e-15 + std::numeric_limits<double>::min();
    if (std::abs(*after - *before) <= bit) after = before;
  }
  if (to_json(*second) != text) std::abort();
}
