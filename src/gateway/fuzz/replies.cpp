#include "gateway/replies.hpp"

#include <algorithm>
#include <deque>

#include "gateway/fuzz/parts.hpp"
#include "gateway/fuzz/require.hpp"
#include "pgwire/protocol/frame.hpp"

namespace millrace::gateway::fuzz {
namespace {

using Kind = Reply::Kind;

struct Owed {
  Kind kind;
  std::uint64_t number, batch;
};

constexpr std::size_t most = 130;  ///< so that an input is quickly done

class Conversation {
 public:
  void act(unsigned what, unsigned with) {
    switch (what % 8) {
      case 0:
      case 1:
        owe(static_cast<Kind>(with % 9), 1);
        break;
      case 2:
        owe(with % 2 == 0 ? Kind::execute : Kind::query, with);  // so many that the room in front is used again
        break;
      case 3:
        pop(with);
        break;
      case 4:
        pop_kind(static_cast<Kind>(with % 9));
        break;
      case 5:
        skip_to_sync();
        break;
      case 6:
        begin_copy_in();
        break;
      default:
        if (with % 2 == 0) replies_.copy_in = false;
        replies_.give_back_memory();
        break;
    }
    check();
  }

 private:
  void owe(Kind kind, unsigned times) {
    for (; times > 0 && owed_.size() < most; --times) {
      const Reply& reply = replies_.owe(kind, 1);
      owed_.push_back({kind, ++last_, batch_});
      if (kind == Kind::query || kind == Kind::function_call || kind == Kind::sync) ++batch_;
      touches_.push_back(reply.touch(last_ % 3 == 0));
    }
  }
  void drop_front() {
    owed_.pop_front();
    forget_copy_ends();
  }
  void forget_copy_ends() {
    while (!owed_.empty() && owed_.front().kind == Kind::copy_end) owed_.pop_front();
  }
  const Reply* front() {
    const Reply* const front = replies_.front();
    forget_copy_ends();
    require((front == nullptr) == owed_.empty());
    if (front != nullptr) require(front->number == owed_.front().number);
    return front;
  }

  void pop(unsigned times) {
    for (; times > 0 && front() != nullptr; --times) {
      replies_.pop();
      drop_front();
    }
  }
  void pop_kind(Kind kind) {
    front();
    const bool is_next = !owed_.empty() && owed_.front().kind == kind;
    require(replies_.pop(kind) == is_next);
    if (is_next) drop_front();
  }

  void skip_to_sync() {
    const Reply* const failed = front();
    if (failed == nullptr || failed->ends_batch()) return;
    const auto sync = std::ranges::find(owed_, Kind::sync, &Owed::kind);
    auto undone = sync;
    replies_.skip_to_sync([&](const Reply& skipped, std::span<Reply> later) {
      require(undone != owed_.begin());
      --undone;
      require(skipped.number == undone->number);
      require(std::ranges::equal(later, std::ranges::subrange(sync, owed_.end()), {}, &Reply::number, &Owed::number));
    });
    require(undone == owed_.begin());
    owed_.erase(owed_.begin(), sync);
    require(replies_.skipping == owed_.empty());
    replies_.skipping = false;
  }

  void begin_copy_in() {
    const Reply* const copies = front();
    if (copies == nullptr || replies_.copy_in || (copies->kind != Kind::query && copies->kind != Kind::execute)) return;
    // The data's end was sent already, or all that was sent is read as data.
    const auto data_end = std::ranges::find(owed_, Kind::copy_end, &Owed::kind);
    const bool is_over = data_end != owed_.end();
    std::deque<Owed> left;
    bool swallows = false;
    for (auto at = owed_.begin(); at != owed_.end(); ++at) {
      const bool swallowed = at < data_end && at->kind == Kind::sync;
      swallows |= swallowed;
      if (!swallowed && at != data_end) left.push_back(*at);
    }
    owed_ = std::move(left);
    require(replies_.begin_copy_in() == (swallows ? Replies::CopyIn::swallows_sync : Replies::CopyIn::begins));
    require(replies_.copy_in == !is_over);
  }

  void check() {
    const auto is_owed = [](const Reply& reply, const Owed& owed) {
      return reply.number == owed.number && reply.kind == owed.kind && reply.batch == owed.batch;
    };
    require(std::ranges::equal(replies_.all(), owed_, is_owed));
    require(replies_.size() == owed_.size() && replies_.empty() == owed_.empty() && replies_.batch() == batch_);
    const std::size_t recent = std::min<std::size_t>(touches_.size(), 4);
    for (const auto& touch : std::span(touches_).last(recent)) check(touch);
  }
  void check(const Touch& touch) {
    const bool is_owed = std::ranges::binary_search(owed_, touch.number, {}, &Owed::number);
    if (!is_owed && !owed_.empty() && touch.number > owed_.front().number) return;  // COPY swallowed it
    const bool decides_now = touch.at_answer || touch.batch != batch_;
    require(replies_.is_under_way(touch) == (is_owed && decides_now && !replies_.copy_in));
  }

  Replies replies_;
  std::deque<Owed> owed_;
  std::uint64_t last_ = 0, batch_ = 1;
  std::vector<Touch> touches_;
};

}  // namespace

void replies(pgwire::Bytes input) {
  Conversation conversation;
  for (; input.size() >= 2; input = input.subspan(2)) {
    conversation.act(static_cast<unsigned>(input[0]), static_cast<unsigned>(input[1]));
  }
}

}  // namespace millrace::gateway::fuzz
