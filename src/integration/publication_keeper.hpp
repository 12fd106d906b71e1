#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "integration/publications.hpp"

namespace millrace::integration {

/// Changes the publications, and sees to it that no application's UPDATE or DELETE fails because of them for long.
/// Needs no stream: only that the database can be asked. Belongs to one thread.
class PublicationKeeper {
 public:
  /// Runs a simple query in the database.
  using Query = std::function<boost::asio::awaitable<Result<std::vector<ServerRow>>>(std::string sql)>;
  explicit PublicationKeeper(Query query) : query_(std::move(query)) {}

  /// For when nobody follows: takes out what has lost its replica identity. Publications that can't be used are
  /// dropped.
  boost::asio::awaitable<void> look();
  /// All of one kind: together, or where that fails each by itself; whether all could be. What can't be taken out at
  /// the second try makes it drop the publications, whoever needs them: a gap in the changes hurts nobody.
  boost::asio::awaitable<bool> mend(TableToMend::What what, std::span<const TableToMend> tables);
  /// Drops them if there are any, and no connection but that of `process_id` needs them.
  boost::asio::awaitable<void> drop_unneeded(std::uint32_t process_id);

 private:
  boost::asio::awaitable<bool> change(TableToMend::What what, std::span<const TableToMend> tables);
  boost::asio::awaitable<void> drop();

  Query query_;
  int failed_ = 0;  ///< tries, one after the other, to take something out
};

}  // namespace millrace::integration
