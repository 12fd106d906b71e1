#include "optimizer/tree.hpp"

#include <fmt/format.h>
#include <pg_query.h>

#include <algorithm>
#include <cstring>

#include "sql/scan_guard.hpp"
#include "sql/stack_left.hpp"

namespace millrace::optimizer {

namespace {

std::pmr::memory_resource& resource(void* data) { return *static_cast<std::pmr::monotonic_buffer_resource*>(data); }

void* allocate(void* data, std::size_t size) { return resource(data).allocate(size, alignof(std::max_align_t)); }
void release(void*, void*) {}

std::string pack(const ProtobufCMessage* message) {
  std::string bytes(protobuf_c_message_get_packed_size(message), '\0');
  protobuf_c_message_pack(message, reinterpret_cast<std::uint8_t*>(bytes.data()));
  return bytes;
}

template <typename T>
T& field_at(ProtobufCMessage* message, unsigned offset) {
  return *reinterpret_cast<T*>(reinterpret_cast<char*>(message) + offset);
}

std::span<const ProtobufCFieldDescriptor> fields_of(const ProtobufCMessage* message) {
  return {message->descriptor->fields, message->descriptor->n_fields};
}

void clear_locations(ProtobufCMessage* message) {
  for (const auto& field : fields_of(message)) {
    if (field.type != PROTOBUF_C_TYPE_INT32 || field.label == PROTOBUF_C_LABEL_REPEATED) continue;
    const std::string_view name(field.name);
    if (name == "location" || name == "stmt_location" || name == "stmt_len")
      field_at<std::int32_t>(message, field.offset) = 0;
  }
  for_each_child(message, [](ProtobufCMessage* child, Node**) { clear_locations(child); });
}

/// The field that holds what the Node is.
const ProtobufCFieldDescriptor* case_of(const Node* node) {
  return protobuf_c_message_descriptor_get_field(node->base.descriptor, static_cast<unsigned>(node->node_case));
}

void substitute(Tree& tree, Node** slot, std::span<const Node* const> parts) {
  if ((*slot)->node_case == PG_QUERY__NODE__NODE_PARAM_REF) {
    *slot = tree.copy(parts[static_cast<std::size_t>((*slot)->param_ref->number) - 1]);
    return;
  }
  const std::function<void(ProtobufCMessage*, Node**)> visit = [&](ProtobufCMessage* child, Node** at) {
    if (at != nullptr) {
      substitute(tree, at, parts);
    } else {
      for_each_child(child, visit);
    }
  };
  for_each_child(message_of(*slot), visit);
}

}  // namespace

ProtobufCMessage* message_of(const Node* node) {
  const auto* field = case_of(node);
  if (field == nullptr) return nullptr;
  return *reinterpret_cast<ProtobufCMessage* const*>(reinterpret_cast<const char*>(node) + field->offset);
}

void for_each_child(ProtobufCMessage* message, const Visit& visit) {
  if (message == nullptr) return;
  const auto each = [&](ProtobufCMessage** at) {
    if (*at == nullptr) return;
    if ((*at)->descriptor == &pg_query__node__descriptor) {
      auto** slot = reinterpret_cast<Node**>(at);
      if (auto* held = message_of(*slot)) visit(held, slot);
    } else {
      visit(*at, nullptr);
    }
  };
  for (const auto& field : fields_of(message)) {
    if (field.type != PROTOBUF_C_TYPE_MESSAGE) continue;
    if (field.label == PROTOBUF_C_LABEL_REPEATED) {
      const auto count = field_at<std::size_t>(message, field.quantifier_offset);
      auto** all = field_at<ProtobufCMessage**>(message, field.offset);
      for (std::size_t i = 0; i < count; ++i) each(all + i);
    } else if ((field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 ||
               field_at<std::uint32_t>(message, field.quantifier_offset) == field.id) {
      each(&field_at<ProtobufCMessage*>(message, field.offset));
    }
  }
}

bool same(const Node* a, const Node* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->node_case == b->node_case && pack(&a->base) == pack(&b->base);
}

std::vector<std::string_view> strings(std::span<Node* const> nodes) {
  std::vector<std::string_view> all;
  for (const auto* node : nodes) {
    if (node->node_case != PG_QUERY__NODE__NODE_STRING) return {};
    all.emplace_back(node->string->sval);
  }
  return all;
}

Tree::Tree() : allocator_{.alloc = allocate, .free = release, .allocator_data = &memory_} {}

PgQuery__ParseResult* Tree::parse_result(const char* text, Error* error) {
  const auto parsed = pg_query_parse_protobuf(text);
  PgQuery__ParseResult* result = nullptr;
  if (parsed.error != nullptr) {
    *error = Error{.message = "the statement can't be parsed",
                   .sqlstate = "42601",
                   .hint = {},
                   .detail = fmt::format("{} at position {}", parsed.error->message, parsed.error->cursorpos)};
  } else {
    result = pg_query__parse_result__unpack(&allocator_, parsed.parse_tree.len,
                                            reinterpret_cast<const std::uint8_t*>(parsed.parse_tree.data));
    if (result != nullptr) clear_locations(&result->base);
  }
  pg_query_free_protobuf_parse_result(parsed);
  return result;
}

Result<std::unique_ptr<Tree>> Tree::parse(std::string_view text) {
  if (text.size() > max_bytes) return fail("the statement is too long to be optimized", "54000");
  if (sql::stack_left() < stack_needed(text.size()))
    return fail("the statement is too long to be optimized on this thread's stack", "54000");
  if (sql::scans_slowly(text)) return fail("the statement holds long runs of operator characters", "54000");
  if (text.contains('\0')) return fail("the statement holds a NUL", "42601");
  std::unique_ptr<Tree> tree(new Tree);
  Error error = Error::because("the statement's tree can't be read");
  tree->root_ = tree->parse_result(std::string(text).c_str(), &error);
  if (tree->root_ == nullptr) return std::unexpected(std::move(error));
  return tree;
}

const Node* Tree::statement() const { return root_->n_stmts == 1 ? root_->stmts[0]->stmt : nullptr; }

Select* Tree::select() const {
  const auto* only = statement();
  return only != nullptr && only->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? only->select_stmt : nullptr;
}

Select* Tree::select_from(PgQuery__RangeVar* table, std::span<Node* const> beside, Node* where,
                          PgQuery__WithClause* with) {
  constexpr auto alignment = alignof(std::max_align_t);
  auto* item = static_cast<Node*>(memory_.allocate(sizeof(Node), alignment));
  pg_query__node__init(item);
  item->node_case = PG_QUERY__NODE__NODE_RANGE_VAR;
  item->range_var = table;
  auto* select = static_cast<Select*>(memory_.allocate(sizeof(Select), alignment));
  pg_query__select_stmt__init(select);
  select->op = PG_QUERY__SET_OPERATION__SETOP_NONE;
  select->limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
  select->n_from_clause = beside.size() + 1;
  select->from_clause = nodes(select->n_from_clause);
  select->from_clause[0] = item;
  std::ranges::copy(beside, select->from_clause + 1);
  select->where_clause = where;
  select->with_clause = with;
  return select;
}

Select* Tree::reading() {
  const auto* only = statement();
  if (only == nullptr) return nullptr;
  switch (only->node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT:
      return only->select_stmt;
    case PG_QUERY__NODE__NODE_UPDATE_STMT: {
      const auto* update = only->update_stmt;
      return select_from(update->relation, {update->from_clause, update->n_from_clause}, update->where_clause,
                         update->with_clause);
    }
    case PG_QUERY__NODE__NODE_DELETE_STMT: {
      const auto* deletes = only->delete_stmt;
      return select_from(deletes->relation, {deletes->using_clause, deletes->n_using_clause}, deletes->where_clause,
                         deletes->with_clause);
    }
    case PG_QUERY__NODE__NODE_INSERT_STMT: {
      const auto* rows = only->insert_stmt->select_stmt;
      return rows != nullptr && rows->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? rows->select_stmt : nullptr;
    }
    default:
      return nullptr;
  }
}

std::optional<std::string> Tree::printed(const PgQuery__ParseResult* root) {
  auto bytes = pack(&root->base);
  const auto printed = pg_query_deparse_protobuf({.len = bytes.size(), .data = bytes.data()});
  std::optional<std::string> text;
  if (printed.error == nullptr) text = printed.query;
  pg_query_free_deparse_result(printed);
  if (!text || sql::stack_left() < stack_needed(text->size())) return std::nullopt;
  Tree again;
  Error error;
  const auto* parsed = again.parse_result(text->c_str(), &error);
  if (parsed == nullptr || pack(&parsed->base) != bytes) return std::nullopt;
  return text;
}

std::optional<std::string> Tree::text() const { return printed(root_); }

bool Tree::mentions(std::string_view name) const { return pack(&root_->base).contains(name); }

std::optional<std::string> Tree::text_of(Node* expression) {
  constexpr std::string_view before = "SELECT ";
  Error error;
  auto* whole = parse_result("SELECT 1", &error);
  if (whole == nullptr) return std::nullopt;
  whole->stmts[0]->stmt->select_stmt->target_list[0]->res_target->val = expression;
  auto text = printed(whole);
  if (!text || !text->starts_with(before)) return std::nullopt;
  return text->substr(before.size());
}

ProtobufCMessage* Tree::copy_message(const ProtobufCMessage* message) {
  const auto bytes = pack(message);
  return protobuf_c_message_unpack(message->descriptor, &allocator_, bytes.size(),
                                   reinterpret_cast<const std::uint8_t*>(bytes.data()));
}

Node* Tree::copy(const Node* node) { return reinterpret_cast<Node*>(copy_message(&node->base)); }

Select* Tree::copy(const Select* select) { return reinterpret_cast<Select*>(copy_message(&select->base)); }

Node* Tree::expression(const std::string& text, std::initializer_list<const Node*> parts) {
  Error error;
  auto* parsed = parse_result(fmt::format("SELECT {}", text).c_str(), &error);
  if (parsed == nullptr) return nullptr;
  auto** slot = &parsed->stmts[0]->stmt->select_stmt->target_list[0]->res_target->val;
  if (parts.size() != 0) substitute(*this, slot, {parts.begin(), parts.size()});
  return *slot;
}

Node* Tree::string_constant(std::string_view value) {
  auto* node = expression("''");
  node->a_const->sval->sval = chars(value);
  return node;
}

Node** Tree::nodes(std::size_t count) {
  return static_cast<Node**>(memory_.allocate(std::max<std::size_t>(count, 1) * sizeof(Node*), alignof(Node*)));
}

Node** Tree::nodes(std::span<Node* const> from) {
  auto** all = nodes(from.size());
  std::ranges::copy(from, all);
  return all;
}

char* Tree::chars(std::string_view text) {
  auto* copy = static_cast<char*>(memory_.allocate(text.size() + 1, 1));
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

}  // namespace millrace::optimizer
