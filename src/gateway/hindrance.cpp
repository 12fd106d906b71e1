#include "gateway/hindrance.hpp"

namespace millrace::gateway {
namespace {

bool has_no_catalog(const pipeline::Scope* scope) {
  return scope != nullptr && scope->source && !scope->source->current();
}

std::string why(Hindrance hindrance, const pipeline::Scope* scope, std::string_view pin) {
  switch (hindrance) {
    case Hindrance::none:
      break;
    case Hindrance::no_cache:
      return "there is no cache: ENABLE_MULTI_LEVEL_CACHING is off";
    case Hindrance::settings_under_way:
      return "a setting is being changed";
    case Hindrance::asked_too_late:
      return "the session didn't ask for answers from memory when it began, as it must in session mode";
    case Hindrance::not_wanted:
      return "the session hasn't asked for answers from memory";
    case Hindrance::no_stream:
      return "changes of the database aren't followed at present, as the session's level of consistency needs";
    case Hindrance::names_unclear:
      return "something that ran in the session may have changed which tables its names mean";
    case Hindrance::settings:
      return scope == nullptr ? "" : scope->why_not;
    case Hindrance::pinned:
      return "the session keeps its server connection: " + std::string(pin);
    case Hindrance::transaction:
      return "something in the transaction may have done more than read";
    case Hindrance::failed_transaction:
      return "the transaction has failed";
    case Hindrance::isolation:
      return has_no_catalog(scope) ? "the database's catalogs aren't known at present"
                                   : "the user's transactions don't begin as READ COMMITTED, or nobody knows";
    case Hindrance::server_state:
      return "something that ran on the server connection may have left there what isn't seen";
  }
  return {};
}

}  // namespace

std::string_view code_of(Hindrance hindrance, const pipeline::Scope* scope) {
  switch (hindrance) {
    case Hindrance::none:
      break;
    case Hindrance::no_cache:
      return "no_cache";
    case Hindrance::settings_under_way:
      return "settings_under_way";
    case Hindrance::asked_too_late:
    case Hindrance::not_wanted:
      return "not_asked";
    case Hindrance::no_stream:
      return "no_stream";
    case Hindrance::names_unclear:
      return "names_unclear";
    case Hindrance::settings:
      return "settings";
    case Hindrance::pinned:
      return "pinned";
    case Hindrance::transaction:
      return "transaction";
    case Hindrance::failed_transaction:
      return "failed_transaction";
    case Hindrance::isolation:
      return has_no_catalog(scope) ? "catalog_unknown" : "isolation";
    case Hindrance::server_state:
      return "server_state";
  }
  return {};
}

pipeline::Refusal refusal_of(Hindrance hindrance, const pipeline::Scope* scope, std::string_view pin) {
  return {std::string(code_of(hindrance, scope)), why(hindrance, scope, pin)};
}

}  // namespace millrace::gateway
