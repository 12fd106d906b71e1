// Clients that share server connections in transaction mode hear, byte for byte, what each would hear from a server of
// its own. The servers are models of PostgreSQL's rules for prepared statements.
#include <map>
#include <random>

#include "gateway/relay_test.hpp"
#include "pgwire/protocol/decode.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;

class ModelServer {
 public:
  /// The answers to whole messages.
  std::string answer(std::string_view messages) {
    std::string out;
    while (!messages.empty()) {
      const auto header = pgwire::load_header(bytes_of(messages));
      out += on_message(header.type, bytes_of(messages).subspan(pgwire::header_size, header.length - 4));
      messages.remove_prefix(header.total());
    }
    return out;
  }

  Server state;

 private:
  std::string on_message(char type, pgwire::Bytes body) {
    if (type == pgwire::frontend::sync) {
      skipping_ = false;
      portals_.clear();
      return ready();
    }
    if (skipping_) return "";
    switch (type) {
      case pgwire::frontend::flush:
        return "";
      case pgwire::frontend::query:
        unnamed_.reset();
        portals_.clear();
        return run(*pgwire::decode_query(body), true) + ready();
      case pgwire::frontend::parse:
        return on_parse(*pgwire::decode_parse(body));
      case pgwire::frontend::bind: {
        const auto names = *pgwire::bind_names(body);
        const auto text = find(names.statement);
        if (!text) return missing(names.statement);
        portals_.insert_or_assign(std::string(names.portal), *text);
        return bound();
      }
      case pgwire::frontend::describe: {
        const auto name = pgwire::decode_describe(body)->name;
        const auto text = find(name);
        return text ? parameter_types() + notice(*text) + no_data() : missing(name);
      }
      case pgwire::frontend::execute:
        if (const auto found = portals_.find(std::string(pgwire::decode_execute(body)->portal));
            found != portals_.end())
          return run(found->second, false);
        return fail("34000", "portal does not exist");
      case pgwire::frontend::close: {
        const auto name = pgwire::decode_close(body)->name;
        if (name.empty()) unnamed_.reset();
        statements_.erase(std::string(name));
        return closed();
      }
      default:
        ADD_FAILURE() << type;
        return "";
    }
  }

  std::string on_parse(const pgwire::ParseView& view) {
    if (view.name.empty()) unnamed_.reset();
    if (view.query == "SELEC") return fail("42601", "syntax error");
    if (view.name.empty()) {
      unnamed_ = view.query;
    } else if (!statements_.emplace(view.name, view.query).second) {
      return fail("42P05", fmt::format("prepared statement \"{}\" already exists", view.name));
    }
    return parsed();
  }

  std::string run(const std::string_view text, bool simple) {
    if (text == "SELEC") return simple ? error("42601", "syntax error") : fail("42601", "syntax error");
    if (text.empty()) return empty_query();
    if (text == "DEALLOCATE ALL") {
      statements_.clear();
      return complete("DEALLOCATE ALL");
    }
    if (text.starts_with("DEALLOCATE ")) {
      const std::string name(text.substr(text.find(' ') + 1));
      if (statements_.erase(name) == 1) return complete("DEALLOCATE");
      const std::string why = fmt::format("prepared statement \"{}\" does not exist", name);
      return simple ? error("26000", why) : fail("26000", why);
    }
    return row(text) + complete("SELECT 1");
  }

  std::optional<std::string> find(std::string_view name) const {
    if (name.empty()) return unnamed_;
    const auto found = statements_.find(std::string(name));
    return found == statements_.end() ? std::nullopt : std::optional(found->second);
  }

  std::string missing(std::string_view name) {
    return fail("26000", name.empty() ? "unnamed prepared statement does not exist"
                                      : fmt::format("prepared statement \"{}\" does not exist", name));
  }
  std::string fail(std::string_view sqlstate, std::string_view text) {
    skipping_ = true;
    return error(sqlstate, text);
  }

  std::map<std::string, std::string> statements_;
  std::optional<std::string> unnamed_;
  std::map<std::string, std::string> portals_;
  bool skipping_ = false;
};

class RandomClient {
 public:
  explicit RandomClient(unsigned seed) : random_(seed) {}

  std::size_t below(std::size_t limit) { return random_() % limit; }

  std::string batch() {
    if (below(4) == 0) return query(below(4) == 0 ? odd_text() : text());
    std::string out;
    for (std::size_t left = 1 + below(6); left > 0; --left) out += message();
    return out + sync();
  }

 private:
  std::string odd_text() { return std::array{"SELEC", "DEALLOCATE ALL", "DEALLOCATE a", "DEALLOCATE b"}[below(4)]; }
  std::string text() { return fmt::format("SELECT {} AS c{}", below(4), below(2)); }
  std::string name() { return std::array{"", "a", "b", "c"}[below(4)]; }
  std::string message() {
    switch (below(9)) {
      case 0:
      case 1:
        return parse(name(), text());
      case 2:
        return below(3) == 0 ? parse(name(), odd_text()) : describe_statement(name());
      case 3:
      case 4:
        return wire::bind(name(), name());
      case 5:
        return describe_statement(name());
      case 6:
        return close_statement(name());
      default:
        return execute(name());
    }
  }

  std::minstd_rand random_;
};

/// What the client hears when all that it sends is answered, with the relay's own questions between.
std::string converse(Client& client, ModelServer& server, std::string bytes) {
  std::string heard;
  while (true) {
    const auto step = client.relay.from_client(bytes_of(bytes), ++client.now);
    heard += client.hears(server.answer(string_of(step.forward)));
    bytes.erase(0, step.used);
    if (step.next != Relay::Next::answer || client.relay.asking()) {
      EXPECT_TRUE(bytes.empty());
      return heard;
    }
  }
}

TEST(RelayModel, SharedServerConnectionsAnswerAsOnesOwn) {
  constexpr std::size_t max_servers = 3;
  for (unsigned seed = 1; seed <= 200; ++seed) {
    World world;
    RandomClient random(seed);
    std::array<std::optional<ModelServer>, max_servers> shared;
    struct Pair {
      explicit Pair(World& common) : client(common, Mode::transaction) {}
      Client client;
      ModelServer own;
    };
    std::deque<Pair> pairs;
    for (int i = 0; i < 3; ++i) pairs.emplace_back(world);

    std::string history;
    for (int step = 0; step < 60; ++step) {
      const std::size_t who = random.below(pairs.size());
      auto& client = pairs[who].client;
      auto& own = pairs[who].own;
      auto& server = shared[random.below(max_servers)];
      if (!server) server.emplace();
      client.on(server->state);
      std::string batch = random.batch();
      while (random.below(3) == 0) batch += random.batch();
      history += fmt::format("\n{} on {}: {}", who, &server - shared.data(), testing::PrintToString(batch));
      // In one go, or in two with the answers to the first between them.
      std::size_t cut = 0;
      if (random.below(2) == 0) cut = pgwire::load_header(bytes_of(batch)).total();
      const std::string heard =
          converse(client, *server, batch.substr(0, cut)) + converse(client, *server, batch.substr(cut));
      ASSERT_EQ(heard, own.answer(batch)) << "seed " << seed << history;
      ASSERT_TRUE(client.relay.releasable()) << "seed " << seed << history;
      if (server->state.tainted) server.reset();
    }
  }
}

}  // namespace
}  // namespace millrace::gateway
