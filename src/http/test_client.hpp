#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace millrace::http {

/// A blocking HTTP client for tests that says exactly the bytes that it is given, over a real socket.
class TestClient {
 public:
  enum class Tls { off, on };

  explicit TestClient(std::uint16_t port, Tls tls = Tls::off);
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;
  ~TestClient();

  /// False if the server has closed the connection.
  bool send(std::string_view bytes);

  /// Says that it sends nothing more, and goes on reading.
  void finish_sending();

  struct Answer {
    int status = 0;  ///< 0 if the server closed instead
    std::string header;
    std::string body;
  };

  /// The next response; the body is left out after HEAD.
  Answer receive(bool with_body = true);

  /// What comes up to and with `end`, which may be split in any way; less if the server closes.
  std::string receive_until(std::string_view end);

  /// Exactly so many bytes; fewer if the server closes.
  std::string receive_bytes(std::size_t count);

  /// The rest until the server closes.
  std::string receive_all();

  /// Waits up to `limit` for the server to close, dropping what comes.
  bool closed_within(std::chrono::milliseconds limit);

  /// Whether the server threw the connection away (RST); known after the end was read.
  bool was_reset() const { return was_reset_; }

 private:
  bool fill();
  long read_some(char* into, std::size_t size);

  int socket_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  std::string received_;
  bool was_reset_ = false;
};

/// Files of a fresh self-signed certificate and its key; removed in the end.
class TestCertificate {
 public:
  TestCertificate();
  ~TestCertificate();
  TestCertificate(const TestCertificate&) = delete;
  TestCertificate& operator=(const TestCertificate&) = delete;

  std::string certificate_file;
  std::string key_file;

 private:
  std::string folder_;
};

}  // namespace millrace::http
