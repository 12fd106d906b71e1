#include "gateway/replies.hpp"

#include "gateway/shrink.hpp"

namespace millrace::gateway {

Reply& Replies::owe(Reply::Kind kind, std::int64_t now) {
  Reply& reply = owed_.emplace_back();
  reply.kind = kind;
  reply.number = next_number_++;
  reply.batch = batch_;
  reply.exchange.started = now;
  if (reply.ends_batch()) ++batch_;
  return reply;
}

Reply& Replies::owe_own(Reply::Kind kind, std::int64_t now, Reply::Purpose purpose) {
  Reply& reply = owe(kind, now);
  reply.shown = Reply::Shown::errors;
  reply.purpose = purpose;
  return reply;
}

Reply* Replies::front() {
  while (!empty() && owed_[first_].kind == Reply::Kind::copy_end) pop();
  return empty() ? nullptr : &owed_[first_];
}

void Replies::pop() {
  std::size_t count = 1;
  while (count < size() && all()[count].kind == Reply::Kind::copy_end) ++count;  // of no COPY: it isn't answered
  drop(count);
}

bool Replies::pop(Reply::Kind kind) {
  const Reply* oldest = front();
  if (oldest == nullptr || oldest->kind != kind) return false;
  pop();
  return true;
}

/// The oldest.
void Replies::drop(std::size_t count) {
  for (; count > 0; --count, ++first_) {
    Reply& reply = owed_[first_];
    reply.exchange.statement.reset();
    reply.exchange.fill.reset();
    reply.exchange.sent.reset();
    reply.exchange.rewrite.reset();
    reply.executed.reset();
    reply.limit.asked_for.reset();
    std::string().swap(reply.asked);  // what clear() keeps
    std::string().swap(reply.parameters);
    reply.text.reset();
    reply.twin.reset();
    reply.statement_was.reset();
    reply.portal_was = {};
  }
  if (empty()) {
    owed_.clear();
    first_ = 0;
  } else if (first_ >= 64 && first_ * 2 >= owed_.size()) {
    owed_.erase(owed_.begin(), owed_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void Replies::forget() {
  drop(size());
  status = 'I';
  copy_in = skipping = unsynced = failed_since_ready = awaited = false;
}

Reply* Replies::next_sync() {
  const auto owed = all();
  const auto found = std::ranges::find(owed, Reply::Kind::sync, &Reply::kind);
  return found == owed.end() ? nullptr : &*found;
}

bool Replies::is_under_way(const Touch& touch) const {
  if (touch.number == 0 || empty() || touch.number < owed_[first_].number) return false;
  return !copy_in && (touch.at_answer || touch.batch != batch_);
}

/// The server now reads COPY data, and ignores a Sync among them.
Replies::CopyIn Replies::begin_copy_in() {
  copy_in = true;
  bool swallowed = false;
  auto at = owed_.begin() + static_cast<std::ptrdiff_t>(first_) + 1;
  while (copy_in && at != owed_.end()) {
    const auto kind = at->kind;
    if (kind != Reply::Kind::sync && kind != Reply::Kind::copy_end) {
      ++at;
      continue;
    }
    at = owed_.erase(at);
    if (kind == Reply::Kind::copy_end) copy_in = false;
    if (kind == Reply::Kind::sync) swallowed = true;
  }
  if (!swallowed) return CopyIn::begins;
  if (owed_[first_].kind == Reply::Kind::execute) {
    unsynced = std::none_of(at, owed_.end(), [](const Reply& later) { return later.ends_batch(); });
  }
  return CopyIn::swallows_sync;
}

std::size_t Replies::give_back_memory() { return shrink(owed_); }

}  // namespace millrace::gateway
