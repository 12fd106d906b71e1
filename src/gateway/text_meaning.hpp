#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "backend/server_state.hpp"
#include "sql/statement.hpp"

namespace millrace::gateway {

/// What of a session's settings decides what a text means to the server when it parses it, so that two sessions in
/// which it is equal may share a prepared statement of that text.
struct TextMeaning {
  /// How constants are read: dates, intervals, XML, money. The server reads them once, when it parses the text.
  std::string constants;
  /// Which objects names stand for: search path and role. The server looks again when they have changed since.
  std::string names;

  bool operator==(const TextMeaning&) const = default;
};

/// `settings`: null where nothing was changed.
TextMeaning meaning_under(const backend::Settings* settings);

/// What of a text's meaning is changed by a setting, or by a statement; flags.
struct MeaningChange {
  bool lexing = false;     ///< where constants begin and end; then `constants` as well
  bool constants = false;  ///< how they are read
  bool names = false;      ///< what names stand for

  bool any() const { return lexing || constants || names; }
  MeaningChange& operator|=(const MeaningChange& other) {
    lexing |= other.lexing;
    constants |= other.constants;
    names |= other.names;
    return *this;
  }
};
MeaningChange change_of(const sql::Statement& statement);

/// Whether the setting decides where in a text constants begin and end.
bool changes_lexing(std::string_view setting);

/// Whether settings may change how the text is read: it holds a string, a NULL, or other bytes than ASCII.
bool holds_constants(std::string_view text);

/// Whether it may hold a constant that means the time at which it is parsed, such as 'now'.
bool holds_moments(std::string_view text);

}  // namespace millrace::gateway
