#include "monitor/query_performance_monitor.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <boost/describe/members.hpp>
#include <boost/mp11/algorithm.hpp>
#include <cassert>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <numeric>

#include "base/clock.hpp"
#include "monitor/recent_histogram.hpp"

namespace millrace {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::int64_t handed_over_after_ns = 1'000'000'000;
constexpr auto history_interval = std::chrono::seconds(1);

std::uint64_t key_of(std::string_view text, std::uint64_t before) {
  return XXH3_64bits_withSeed(text.data(), text.size(), before);
}

/// Each text's hash goes into the next one's, so that what stands in one isn't taken for another's.
std::uint64_t caller_key(const QueryRecord& query) {
  const std::uint64_t who = key_of(query.database, key_of(query.asker(), 0));
  return key_of(query.project, key_of(query.application, who));
}

void add(WireTotals& totals, const WireCounters& counters) {
  using Members = boost::describe::describe_members<WireCounters, boost::describe::mod_public>;
  using Sums = boost::describe::describe_members<WireTotals, boost::describe::mod_public>;
  boost::mp11::mp_for_each<boost::mp11::mp_iota_c<boost::mp11::mp_size<Members>::value>>([&](auto i) {
    constexpr auto from = boost::mp11::mp_at_c<Members, i>::pointer;
    constexpr auto to = boost::mp11::mp_at_c<Sums, i>::pointer;
    totals.*to += (counters.*from).get();
  });
}

}  // namespace

struct alignas(cache_line) QueryPerformanceMonitor::Shard {
  std::array<Counter, max_kinds> queries;
  std::array<Counter, SqlstateClass::count> errors;
  Counter rows;
  std::array<Histogram, statement_group_names.size()> durations;
  RecentHistogram recent_durations;
  Histogram queue_waits;
  Histogram first_bytes;
  alignas(cache_line) WireCounters wire;

  std::unique_ptr<CoreRecording> recording;  ///< the core's; null: nothing is recorded
  // Each is taken from here by one side and put here by the other.
  alignas(cache_line) std::atomic<CoreRecording*> handed_over = nullptr;  ///< for the historian
  std::atomic<CoreRecording*> emptied = nullptr;                          ///< for the core

  Shard() = default;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard() {
    delete handed_over.load();
    delete emptied.load();
  }
};

QueryPerformanceMonitor::QueryPerformanceMonitor(std::size_t cores, std::vector<StatementKindLabel> kinds,
                                                 std::optional<RecordingOptions> recording)
    : kinds_(std::move(kinds)), started_ns_(now_ns()) {
  assert(cores > 0 && !kinds_.empty() && kinds_.size() <= max_kinds);
  if (recording) history_ = std::make_unique<PerformanceHistory>(*std::move(recording), started_ns_);
  for (std::size_t i = 0; i < cores; ++i) {
    Shard& shard = *shards_.emplace_back(std::make_unique<Shard>());
    if (!history_) continue;
    shard.recording = std::make_unique<CoreRecording>();
    shard.recording->since_ns = started_ns_;
    shard.emptied = std::make_unique<CoreRecording>().release();
  }
}

QueryPerformanceMonitor::~QueryPerformanceMonitor() = default;

void QueryPerformanceMonitor::start() {
  if (!history_) return;
  historian_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    while (!stopped.wait_for(lock, stop, history_interval, [&] { return stop.stop_requested(); })) {
      make_history(now_ns());
    }
  });
}

void QueryPerformanceMonitor::finish(std::size_t cores) {
  if (!history_) return;
  historian_ = {};
  const std::int64_t now = now_ns();
  make_history(now);  // so that each core has a recording to go on with
  for (std::size_t core = 0; core < cores; ++core) tick(core, std::numeric_limits<std::int64_t>::max());
  make_history(now + 1);
}

void QueryPerformanceMonitor::count(Shard& shard, const QueryRecord& query) noexcept {
  const std::size_t kind = std::min<std::size_t>(query.kind, kinds_.size() - 1);
  shard.queries[kind].add();
  shard.rows.add(query.rows);
  const std::uint64_t duration = not_negative(query.duration_ns);
  shard.durations[static_cast<std::size_t>(kinds_[kind].group)].record(duration);
  shard.recent_durations.record(duration, query.started_ns + query.duration_ns);
  if (query.queue_ns > 0) shard.queue_waits.record(not_negative(query.queue_ns));
  if (query.first_byte_ns > 0) shard.first_bytes.record(not_negative(query.first_byte_ns));
  if (query.failed()) shard.errors[SqlstateClass::index(query.error_code())].add();
}

bool QueryPerformanceMonitor::record(std::size_t core, const QueryRecord& query) noexcept {
  Shard& shard = *shards_[core];
  count(shard, query);
  if (!shard.recording) return false;
  const std::int64_t now = query.started_ns + query.duration_ns;
  if (now - shard.recording->since_ns >= handed_over_after_ns) tick(core, now);
  CoreRecording& recording = *shard.recording;
  const auto known = recording.templates.place_of(template_key(query.fingerprint, query.engine));
  recording.templates.add(known.at, query);
  const std::uint64_t caller = caller_key(query);
  const auto asks = recording.callers.place_of(caller);
  recording.callers.add(asks.at, query);
  if (asks.is_new) {
    recording.new_callers.push_back({.user = std::string(query.asker()),
                                     .database = std::string(query.database),
                                     .application = std::string(query.application),
                                     .project = std::string(query.project)});
  }
  return known.is_new && recording.new_templates.size() < CoreRecording::most_new_templates;
}

std::uint64_t QueryPerformanceMonitor::template_key(std::uint64_t fingerprint, Engine engine) {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
  return fingerprint ^ (static_cast<std::uint64_t>(engine) * odd);
}

void QueryPerformanceMonitor::describe(std::size_t core, TemplateText text) {
  text.key = template_key(text.fingerprint, text.engine);
  shards_[core]->recording->new_templates.push_back(std::move(text));
}

void QueryPerformanceMonitor::add_slow(std::size_t core, SlowQuery query) {
  if (!history_) return;
  CoreRecording& recording = *shards_[core]->recording;
  if (recording.slow.size() < CoreRecording::most_slow) {
    recording.slow.push_back(std::move(query));
  } else {
    ++recording.slow_lost;
  }
}

void QueryPerformanceMonitor::tick(std::size_t core, std::int64_t now) noexcept {
  Shard& shard = *shards_[core];
  if (!shard.recording || now - shard.recording->since_ns < handed_over_after_ns) return;
  // Once it is emptied, what was handed over before is taken, too.
  CoreRecording* const next = shard.emptied.exchange(nullptr, std::memory_order_acquire);
  if (next == nullptr) return;
  next->since_ns = now;
  shard.handed_over.store(shard.recording.release(), std::memory_order_release);
  shard.recording.reset(next);
}

WireLevels QueryPerformanceMonitor::levels() const {
  WireTotals wire = {};
  for (const auto& shard : shards_) add(wire, shard->wire);
  // The cores are read one after the other: a sum may be a little below zero for a moment.
  const auto level = [](std::uint64_t sum) {
    return static_cast<double>(not_negative(static_cast<std::int64_t>(sum)));
  };
  return {.clients_connected = level(wire.clients_connected),
          .clients_active = level(wire.clients_active),
          .clients_waiting = level(wire.clients_waiting)};
}

void QueryPerformanceMonitor::make_history(std::int64_t now) {
  std::vector<CoreRecording*> taken;
  std::vector<Shard*> whose;
  for (const auto& shard : shards_) {
    CoreRecording* const recording = shard->handed_over.exchange(nullptr, std::memory_order_acquire);
    if (recording == nullptr) continue;
    taken.push_back(recording);
    whose.push_back(shard.get());
  }
  history_->take(taken, now, levels());
  for (std::size_t i = 0; i < taken.size(); ++i) whose[i]->emptied.store(taken[i], std::memory_order_release);
}

WireCounters& QueryPerformanceMonitor::wire(std::size_t core) noexcept { return shards_[core]->wire; }

MonitorSnapshot QueryPerformanceMonitor::snapshot() const {
  const std::int64_t now = now_ns();
  MonitorSnapshot sum;
  sum.uptime_seconds = static_cast<double>(now - started_ns_) / 1e9;
  sum.recent_seconds = static_cast<double>(now - std::max(started_ns_, RecentHistogram::covered_from(now))) / 1e9;
  for (const StatementKindLabel& kind : kinds_) sum.kinds.push_back({.name = kind.name});
  for (const auto& shard : shards_) {
    for (std::size_t i = 0; i < kinds_.size(); ++i) sum.kinds[i].queries += shard->queries[i].get();
    for (std::size_t i = 0; i < sum.errors.size(); ++i) sum.errors[i] += shard->errors[i].get();
    sum.rows += shard->rows.get();
    for (std::size_t i = 0; i < sum.durations.size(); ++i) shard->durations[i].add_to(sum.durations[i]);
    shard->recent_durations.add_to(sum.recent_durations, now);
    shard->queue_waits.add_to(sum.queue_waits);
    shard->first_bytes.add_to(sum.first_bytes);
    add(sum.wire, shard->wire);
  }
  return sum;
}

std::uint64_t MonitorSnapshot::queries() const {
  return std::accumulate(kinds.begin(), kinds.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Kind& kind) { return sum + kind.queries; });
}

std::uint64_t MonitorSnapshot::failed_queries() const { return std::reduce(errors.begin(), errors.end()); }

HistogramTotals MonitorSnapshot::all_durations() const {
  HistogramTotals sum;
  for (const HistogramTotals& group : durations) sum += group;
  return sum;
}

}  // namespace millrace
