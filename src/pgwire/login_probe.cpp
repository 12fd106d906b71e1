// login_probe METHOD USER_LIST SERVER_PORT [CERTIFICATE KEY]
//
// The log-in machines on real sockets, for login_probe_test.py: takes clients on a free port (which it prints), lets
// them prove who they are against the user list, logs in to the PostgreSQL server on SERVER_PORT with what the proof
// gave, and answers every query with one row: what it logged in with, and the server's version. With a certificate it
// offers TLS, and asks the server for it.
#include <fmt/core.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "net/listener.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"
#include "pgwire/protocol/startup.hpp"
#include "pgwire/sansio/client_authentication.hpp"
#include "pgwire/sansio/server_login.hpp"
#include "pgwire/sansio/user_list.hpp"

namespace millrace::pgwire {
namespace {

using boost::asio::awaitable;

struct Settings {
  AuthMethod method = AuthMethod::trust;
  std::map<std::string, StoredSecret> users;
  std::uint16_t server_port = 0;
  std::shared_ptr<const net::TlsContext> server_tls;  ///< towards clients
  std::shared_ptr<const net::TlsContext> client_tls;  ///< towards the server
};

// Exactly `count` bytes; fewer at the stream's end.
awaitable<std::string> read(net::Stream& stream, std::size_t count) {
  std::string bytes(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    boost::system::error_code error;
    have += co_await stream.read_some(std::as_writable_bytes(std::span(bytes).subspan(have)), error);
    if (error) break;
  }
  bytes.resize(have);
  co_return bytes;
}

awaitable<void> write(net::Stream& stream, std::string bytes) {
  boost::system::error_code error;
  co_await stream.write_all(as_bytes(bytes), error);
}

struct Message {
  char type = 0;
  std::string body;
};
// nullopt: the stream has ended, or what came is no message.
awaitable<std::optional<Message>> read_message(net::Stream& stream) {
  const std::string start = co_await read(stream, header_size);
  if (start.size() < header_size) co_return std::nullopt;
  const Header header = load_header(as_bytes(start));
  if (!header.valid() || header.length > max_password_length) co_return std::nullopt;
  co_return Message{header.type, co_await read(stream, header.length - 4)};
}

// The start-up packet, after TLS if the client wants it; nullopt: told the client why not, or there is none.
awaitable<std::optional<StartupRequest>> take_startup(net::Stream& stream, const Settings& settings) {
  for (AskedBefore asked;;) {
    std::string packet = co_await read(stream, 4);
    if (packet.size() < 4) co_return std::nullopt;
    const std::uint32_t length = load_u32(as_bytes(packet).data());
    if (!valid_startup_length(length)) co_return std::nullopt;
    packet += co_await read(stream, length - 4);
    auto decoded = decode_startup(as_bytes(packet), asked);
    if (!decoded) {
      std::string answer;
      append_startup_error(answer, as_bytes(packet), decoded.error());
      co_await write(stream, std::move(answer));
      co_return std::nullopt;
    }
    if (auto* request = std::get_if<StartupRequest>(&*decoded)) {
      if (request->needs_negotiation()) {
        std::string answer;
        append_negotiate_protocol_version(answer, protocol_3_0, request->unknown_options);
        co_await write(stream, std::move(answer));
      }
      co_return std::move(*request);
    }
    if (std::holds_alternative<CancelRequest>(*decoded)) co_return std::nullopt;
    const bool ssl = std::holds_alternative<SslRequest>(*decoded);
    const bool encrypt = ssl && settings.server_tls;
    asked.ssl |= ssl;
    asked.gss |= !ssl || encrypt;
    co_await write(stream, encrypt ? "S" : "N");
    if (encrypt && !co_await stream.start_tls_server(settings.server_tls)) co_return std::nullopt;
  }
}

awaitable<std::optional<ServerCredential>> authenticate(net::Stream& stream, const Settings& settings,
                                                        const std::string& user) {
  ClientAuthentication::Options options{.method = settings.method, .user = user, .tls = stream.encrypted()};
  if (const auto found = settings.users.find(user); found != settings.users.end()) options.secret = found->second;
  options.tls_server_end_point = stream.tls_server_end_point();
  ClientAuthentication authentication(std::move(options));
  auto step = authentication.start();
  while (step.state == ClientAuthentication::State::more) {
    co_await write(stream, std::move(step.send));
    const auto message = co_await read_message(stream);
    if (!message) co_return std::nullopt;
    if (message->type != frontend::password) {
      std::string answer;
      append_error_response(answer, "FATAL", authentication.unexpected_message(message->type));
      co_await write(stream, std::move(answer));
      co_return std::nullopt;
    }
    step = authentication.on_password_message(as_bytes(message->body));
  }
  if (step.state == ClientAuthentication::State::rejected) append_error_response(step.send, "FATAL", step.error);
  co_await write(stream, std::move(step.send));
  if (step.state == ClientAuthentication::State::rejected) co_return std::nullopt;
  co_return std::move(step.credential);
}

// The server's version, or the error for the client.
awaitable<std::expected<std::string, std::string>> log_in(boost::asio::io_context& context, const Settings& settings,
                                                          ServerLogin::Options options) {
  const net::Endpoint endpoint{.host = "127.0.0.1", .port = settings.server_port};
  auto stream = co_await net::connect(context, endpoint, std::chrono::seconds(5));
  if (!stream) co_return std::unexpected(stream.error().message);
  if (settings.client_tls) {
    std::string request;
    append_ssl_request(request);
    co_await write(*stream, std::move(request));
    const std::string answer = co_await read(*stream, 1);
    if (answer != "S" || !co_await stream->start_tls_client(settings.client_tls, "localhost")) {
      co_return std::unexpected("no TLS");
    }
    options.secure_transport = true;
    options.tls_server_end_point = stream->tls_server_end_point();
  }
  ServerLogin login(std::move(options));
  co_await write(*stream, login.startup_packet());
  for (;;) {
    const auto message = co_await read_message(*stream);
    if (!message) co_return std::unexpected("the server has gone");
    auto step = login.on_message(message->type, as_bytes(message->body));
    co_await write(*stream, std::move(step.send));
    if (step.state == ServerLogin::State::failed)
      co_return std::unexpected(step.error.sqlstate + " " + step.error.message);
    if (step.state == ServerLogin::State::ready) break;
  }
  std::string end;
  append_terminate(end);
  co_await write(*stream, std::move(end));
  for (const auto& [name, value] : login.session().parameter_statuses) {
    if (name == "server_version") co_return value;
  }
  co_return std::unexpected("the server tells no version");
}

std::string_view kind(const ServerCredential& credential) {
  constexpr std::string_view kinds[] = {"nothing", "password", "md5", "keys"};
  return kinds[credential.index()];
}

// The message's own decoder's error, if it has one.
Result<> check(const Message& message) {
  const Bytes body = as_bytes(message.body);
  const auto without_view = [](const auto& decoded) -> Result<> {
    if (!decoded) return std::unexpected(decoded.error());
    return {};
  };
  switch (message.type) {
    case frontend::bind:
      return without_view(decode_bind(body));
    case frontend::close:
      return without_view(decode_close(body));
    case frontend::describe:
      return without_view(decode_describe(body));
    case frontend::execute:
      return without_view(decode_execute(body));
    case frontend::function_call:
      return without_view(decode_function_call(body));
    case frontend::parse:
      return without_view(decode_parse(body));
    case frontend::query:
      return without_view(decode_query(body));
    case frontend::flush:
    case frontend::sync:
      return decode_empty(body);
    default:
      return fail("not a message of a session", "08P01");
  }
}

awaitable<void> serve(boost::asio::io_context& context, std::shared_ptr<net::Stream> stream, const Settings& settings) {
  const auto request = co_await take_startup(*stream, settings);
  if (!request) co_return;
  const std::string user(request->user());
  const auto credential = co_await authenticate(*stream, settings, user);
  if (!credential) co_return;
  const auto version = co_await log_in(
      context, settings,
      {.user = user, .credential = *credential, .parameters = {{"user", user}, {"database", "postgres"}}});

  std::string hello;
  append_authentication_ok(hello);
  append_parameter_status(hello, "server_version", version.value_or("15"));
  append_parameter_status(hello, "client_encoding", "UTF8");
  append_ready_for_query(hello, 'I');
  co_await write(*stream, std::move(hello));
  for (;;) {
    const auto message = co_await read_message(*stream);
    if (!message || message->type == frontend::terminate) co_return;
    std::string answer;
    if (const auto well_formed = check(*message); !well_formed) {
      append_error_response(answer, "ERROR", well_formed.error());
      co_await write(*stream, std::move(answer));
      co_return;
    }
    if (message->type != frontend::query) continue;
    append_row_description(answer,
                           std::array{FieldDescription{.name = "credential"}, FieldDescription{.name = "server"}});
    append_data_row(answer, std::array<Value, 2>{kind(*credential), version ? *version : version.error()});
    append_command_complete(answer, "SELECT 1");
    append_ready_for_query(answer, 'I');
    co_await write(*stream, std::move(answer));
  }
}

AuthMethod method(std::string_view name) {
  if (name == "md5") return AuthMethod::md5;
  return name == "trust" ? AuthMethod::trust : AuthMethod::scram_sha_256;
}

int run(std::span<char*> arguments) {
  Settings settings;
  settings.method = method(arguments[1]);
  std::ifstream file(arguments[2], std::ios::binary);
  settings.users = parse_user_list(std::string(std::istreambuf_iterator<char>(file), {})).value();
  settings.server_port = static_cast<std::uint16_t>(std::stoi(arguments[3]));
  if (arguments.size() == 6) {
    settings.server_tls = net::TlsContext::server(arguments[4], arguments[5]).value();
    settings.client_tls = net::TlsContext::client(net::TlsContext::Verify::none, {}).value();
  }
  boost::asio::io_context context;
  const auto listener =
      net::Listener::open({&context}, {.host = "127.0.0.1"}, [&](boost::asio::io_context& on, net::Stream stream) {
        co_spawn(on, serve(on, std::make_shared<net::Stream>(std::move(stream)), settings), boost::asio::detached);
      });
  fmt::print("{}\n", listener.value()->port());
  std::fflush(stdout);
  context.run();
  return 0;
}

}  // namespace
}  // namespace millrace::pgwire

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) {
    std::fputs("usage: login_probe METHOD USER_LIST SERVER_PORT [CERTIFICATE KEY]\n", stderr);
    return 2;
  }
  return millrace::pgwire::run({argv, static_cast<std::size_t>(argc)});
}
