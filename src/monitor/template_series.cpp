#include "monitor/template_series.hpp"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr double half_life_ns = 600e9;
constexpr std::int64_t keeps_place_ns = 600'000'000'000;
constexpr double takes_place_from = 2;

QueryFigures grown(const QueryFigures& after, const QueryFigures& before) {
  return {.calls = after.calls - before.calls,
          .errors = after.errors - before.errors,
          .slow = after.slow - before.slow,
          .rows = after.rows - before.rows,
          .bytes = after.bytes - before.bytes,
          .hits = after.hits - before.hits,
          .misses = after.misses - before.misses,
          .bypasses = after.bypasses - before.bypasses,
          .rewritten = after.rewritten - before.rewritten,
          .queue_ns = after.queue_ns - before.queue_ns,
          .total_ns = after.total_ns - before.total_ns};
}

}  // namespace

void TemplateSeries::observe(const TemplateTotals& totals, std::int64_t now) {
  const double faded = last_ns_ == 0 ? 1 : std::exp2(-static_cast<double>(now - last_ns_) / half_life_ns);
  last_ns_ = now;
  QueryFigures rest = grown(totals.all, all_);
  all_ = totals.all;
  for (auto& [id, known] : known_) known.seen = false;
  for (const TemplateTotals::One& one : totals.templates) {
    Known& known = known_[one.id];
    known.fingerprint = one.fingerprint;
    known.seen = true;
    const QueryFigures more = grown(one.figures, known.figures);
    known.figures = one.figures;
    known.use = known.use * faded + static_cast<double>(more.total_ns);
    if (!known.since) continue;
    known.counted += more;
    rest = grown(rest, more);
  }
  // Who has lost its place among all that are recorded counts with the others there, too.
  boost::unordered::erase_if(known_, [](const auto& each) { return !each.second.seen; });
  give_places(now);

  std::vector<Series> series;
  for (const auto& [id, known] : known_) {
    if (known.since) series.push_back({.fingerprint = known.fingerprint, .figures = known.counted});
  }
  std::ranges::sort(series, {}, &Series::fingerprint);
  const std::scoped_lock lock(mutex_);
  others_ += rest;
  series.push_back({.fingerprint = {}, .figures = others_});
  series_ = std::move(series);
}

void TemplateSeries::give_places(std::int64_t now) {
  std::vector<Known*> with;
  std::vector<Known*> without;
  for (auto& [id, known] : known_) {
    if (known.since) {
      with.push_back(&known);
    } else if (known.use > 0) {
      without.push_back(&known);
    }
  }
  std::ranges::sort(without, std::greater(), &Known::use);
  std::ranges::sort(with, {}, &Known::use);
  auto least = with.begin();
  for (Known* const next : without) {
    if (with.size() >= places) {
      while (least != with.end() && now - *(*least)->since < keeps_place_ns) ++least;
      if (least == with.end() || next->use < takes_place_from * (*least)->use) return;
      (*least)->since.reset();
      *least++ = next;
    } else {
      with.push_back(next);
      least = with.end();
    }
    next->since = now;
    next->counted = {};
  }
}

std::vector<TemplateSeries::Series> TemplateSeries::series() const {
  const std::scoped_lock lock(mutex_);
  return series_;
}

}  // namespace millrace
