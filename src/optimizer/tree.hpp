#pragma once

#include <pg_query/pg_query.pb-c.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::optimizer {

using Node = PgQuery__Node;
using Select = PgQuery__SelectStmt;

/// A list field of a node: its length and its elements.
template <typename Parent>
std::span<Node*> list(const Parent* node, std::size_t Parent::* size, Node** Parent::* elements) {
  return {node->*elements, node->*size};
}

/// PostgreSQL's own parse tree of one statement (libpg_query's, by protobuf-c), that rules change in place. Nodes live
/// as long as the Tree, whether they are still in it or not; locations are all 0, so that equal trees have equal bytes.
///
/// Belongs to one thread. What recurses takes stack in proportion to the text's length: `parse` asks for it.
class Tree {
 public:
  /// Longer texts aren't rewritten.
  static constexpr std::size_t max_bytes = std::size_t{256} * 1024;
  /// Twice what sums of thousands of terms were seen to take, which nest deepest for their length.
  static constexpr std::size_t stack_needed(std::size_t text_bytes) { return 512 * 1024 + text_bytes * 2048; }

  /// Errors: 42601 with PostgreSQL's message (`detail`: the position, from 1), 54000 for what is too long, or nests too
  /// deep, for this thread's stack.
  static Result<std::unique_ptr<Tree>> parse(std::string_view text);

  /// The only statement, if it is a SELECT (also VALUES, TABLE, a set operation). Null: something else.
  Select* select() const;

  /// What the statement reads, as a SELECT: itself; of UPDATE and DELETE a SELECT without a list, from their table and
  /// what stands beside it, with their WHERE; of INSERT that which its rows come from. Null: it reads nothing, or is
  /// something else.
  Select* reading();
  /// The only statement. Null: there are several, or none.
  const Node* statement() const;

  /// Printed, parsed again, and found to be this tree: libpg_query's printer loses what some trees mean. Null: it
  /// isn't.
  std::optional<std::string> text() const;
  /// The same of an expression.
  std::optional<std::string> text_of(Node* expression);
  /// Whether a name in it, or any other text, is this or holds it.
  bool mentions(std::string_view name) const;

  /// An expression as it would be written, `$1`, `$2` in it standing for copies of `parts`. The text is a rule's own:
  /// it parses.
  Node* expression(const std::string& text, std::initializer_list<const Node*> parts = {});
  Node* copy(const Node* node);
  Select* copy(const Select* select);
  Node* string_constant(std::string_view value);

  /// Room for a list of nodes.
  Node** nodes(std::size_t count);
  Node** nodes(std::span<Node* const> from);
  char* chars(std::string_view text);

 private:
  Tree();
  PgQuery__ParseResult* parse_result(const char* text, Error* error);
  static std::optional<std::string> printed(const PgQuery__ParseResult* root);
  Select* select_from(PgQuery__RangeVar* table, std::span<Node* const> beside, Node* where, PgQuery__WithClause* with);
  ProtobufCMessage* copy_message(const ProtobufCMessage* message);

  std::pmr::monotonic_buffer_resource memory_;
  ProtobufCAllocator allocator_;
  PgQuery__ParseResult* root_ = nullptr;
};

/// Calls `visit` for each message directly in `message`; `slot` is where its Node stands, null if it isn't in a Node.
using Visit = std::function<void(ProtobufCMessage* message, Node** slot)>;
void for_each_child(ProtobufCMessage* message, const Visit& visit);
/// What a Node holds.
ProtobufCMessage* message_of(const Node* node);

/// Equal bytes. Both may be null.
bool same(const Node* a, const Node* b);

/// The strings of a list of String nodes; empty where one isn't.
std::vector<std::string_view> strings(std::span<Node* const> nodes);

}  // namespace millrace::optimizer
