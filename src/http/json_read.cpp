#include "http/json_read.hpp"

#include <boost/json/stream_parser.hpp>

namespace millrace::http {

boost::json::value parse_json(std::string_view text, Findings& findings) {
  boost::json::stream_parser parser;
  boost::system::error_code error;
  const std::size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error && read < text.size() && text.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
    error = boost::json::error::extra_data;
  }
  if (!error) parser.finish(error);
  if (!error) return parser.release();
  findings.within(read, [&] { findings.add("json_invalid", "is not valid JSON: " + error.message()); });
  return nullptr;
}

}  // namespace millrace::http
