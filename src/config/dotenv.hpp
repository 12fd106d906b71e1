#pragma once

#include <map>
#include <string>
#include <string_view>

namespace millrace::config {

/// Reads the text of a `.env` file: `NAME=value` or `export NAME=value` a line, values bare, in 'single quotes' (as
/// they stand) or in "double quotes" (\n, \", \\ and \$ mean what they do in a shell); a quoted one may have several
/// lines.
/// `${NAME}` outside of single quotes is another value of the file, before it, or of `environment`. `#` begins a
/// comment at a line's start and after a blank. Of a name that comes twice the last counts. What isn't understood is
/// left out; so is a value of more than 64 kB, and what is more than 1 MB together.
std::map<std::string, std::string> parse_dotenv(std::string_view text,
                                                const std::map<std::string, std::string>& environment);

}  // namespace millrace::config
