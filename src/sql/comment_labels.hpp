#pragma once

#include <string_view>

namespace millrace::sql {

/// Who asks and for what, as sqlcommenter writes it into a comment:
///
///     SELECT ... /*application='shop',route='%2Fcart',traceparent='00-...-01'*/
///
/// They name things for people and are trusted for nothing else. Parts of the text that they were found in, and encoded
/// as in URLs, as there (`decoded`). Empty: it doesn't say.
struct CommentLabels {
  std::string_view application;
  std::string_view project;  ///< of project or project_id
  std::string_view route;
  std::string_view traceparent;

  bool any() const { return !application.empty() || !project.empty() || !route.empty() || !traceparent.empty(); }
};

/// Of the comment that ends the text, but for semicolons, or else of the one that begins it. Quick where there is none.
CommentLabels labels_of(std::string_view text);

}  // namespace millrace::sql
