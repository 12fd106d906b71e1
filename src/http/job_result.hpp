#pragma once

#include "executor/query_job.hpp"
#include "http/body.hpp"
#include "http/jobs_types.hpp"

namespace millrace::http {

/// A result, or a part of it, as it is to be sent.
struct ResultPart {
  std::string execution_id;
  std::shared_ptr<const executor::QueryJob::Columns> columns;
  std::shared_ptr<const executor::KeptRows> rows;  ///< nothing is added any more
  std::uint64_t offset = 0, limit = 0;
};

/// Sends it piece by piece, as the client takes it: neither all of it nor a large value is in memory once more.
///
/// Values in JSON: booleans, numbers that a double or 64 bits hold, json and jsonb are what they are; whatever else is
/// a string, as PostgreSQL writes it, also numeric, NaN and the infinities. NDJSON has an object a line; a column whose
/// name was there before is NAME_2 and so on. CSV is as PostgreSQL's COPY ... (FORMAT csv, HEADER) writes it: nothing
/// for NULL, "" for an empty string.
asio::awaitable<void> send_result(ResultPart part, ResultFormat format, BodyWriter& body);

std::vector<ResultColumn> columns_of(const executor::QueryJob::Columns& columns);

/// A name for each column that no other has: the second x is x_2. `folded`: nor one that differs in the case of ASCII's
/// letters only.
std::vector<std::string> member_names(const executor::QueryJob::Columns& columns, bool folded = false);

std::string media_type_of(ResultFormat format);

/// By the header Accept: what the client likes best; JSON if that is nothing of these.
ResultFormat format_of(std::string_view accept);

}  // namespace millrace::http
