#include "http/request_parser.hpp"

#include <gtest/gtest.h>

#include <set>

#include "http/target.hpp"

namespace millrace::http {
namespace {

using State = RequestParser::State;
using Segments = std::vector<std::string>;

struct Whole {
  Request head;
  std::string body;
};

/// Feeds text in pieces of `step` bytes, as a connection would.
std::vector<Whole> parse_all(std::string_view text, std::size_t step, RequestParser& parser,
                             std::uint64_t body_bytes = 1 << 20) {
  std::vector<Whole> requests;
  std::string received;
  for (std::size_t at = 0; at < text.size() && parser.state() != State::failed; at += step) {
    received += text.substr(at, step);
    for (bool more = true; more;) {
      const std::size_t used = parser.feed(received);
      received.erase(0, used);
      const State state = parser.state();
      if (state == State::head) {
        requests.push_back({.head = parser.take_head(), .body = {}});
        parser.limit_body(body_bytes);
      }
      if (state == State::body || state == State::complete) requests.back().body += parser.take_body();
      if (state == State::complete) parser.next();
      more = state == State::head || state == State::complete || (used > 0 && state != State::failed);
    }
  }
  return requests;
}

int status_of(std::string_view text, MessageLimits limits = {}) {
  RequestParser parser(limits.header_bytes);
  parse_all(text, text.size(), parser, limits.body_bytes);
  return parser.state() == State::failed ? parser.failure().status : 0;
}

TEST(RequestParser, ReadsPipelinedRequestsHoweverTheyAreCut) {
  const std::string text =
      "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
      "\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
      "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: v\r\n\r\n"
      "GET /d HTTP/1.0\r\n\r\n";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    RequestParser parser(MessageLimits().header_bytes);
    const auto requests = parse_all(text, step, parser);
    ASSERT_EQ(requests.size(), 4) << step;
    EXPECT_EQ(requests[0].head.target.segments, Segments{"a"});
    ASSERT_EQ(requests[0].head.target.query.size(), 1);
    EXPECT_EQ(requests[0].head.target.query[0].second, "1");
    EXPECT_TRUE(requests[0].head.keep_alive);
    EXPECT_EQ(requests[1].head.method, "POST");
    EXPECT_EQ(requests[1].body, "hello");
    EXPECT_EQ(requests[1].head.header("content-type"), "application/json");
    EXPECT_EQ(requests[2].body, "abcdefg");
    EXPECT_EQ(requests[3].head.target.segments, Segments{"d"});
    EXPECT_FALSE(requests[3].head.keep_alive);
    EXPECT_EQ(parser.state(), State::between);
  }
}

TEST(RequestParser, KnowsWhereItStands) {
  RequestParser parser(MessageLimits().header_bytes);
  EXPECT_EQ(parser.state(), State::between);
  EXPECT_EQ(parser.feed("\r\n"), 2);
  EXPECT_EQ(parser.state(), State::between);
  std::string text = "POST / HTTP/1.1\r\nHost: h\r\n";
  text.erase(0, parser.feed(text));
  EXPECT_EQ(parser.state(), State::header);
  text += "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  text.erase(0, parser.feed(text));
  EXPECT_EQ(parser.state(), State::head);
  EXPECT_EQ(parser.feed("{}"), 0);
  EXPECT_TRUE(parser.take_head().expects_continue);
  EXPECT_EQ(parser.state(), State::body);
  EXPECT_EQ(parser.body_left(), 2);
  EXPECT_EQ(parser.feed("{"), 1);
  EXPECT_EQ(parser.body_left(), 1);
  EXPECT_EQ(parser.take_body(), "{");
  EXPECT_EQ(parser.feed("}rest"), 1);
  EXPECT_EQ(parser.state(), State::complete);
  EXPECT_EQ(parser.body_left(), 0);
  EXPECT_EQ(parser.take_body(), "}");
  EXPECT_EQ(parser.feed("rest"), 0);
  parser.next();
  EXPECT_EQ(parser.state(), State::between);
}

TEST(RequestParser, GivesTheHeaderWithoutABody) {
  RequestParser parser(MessageLimits().header_bytes);
  parser.feed("GET / HTTP/1.0\r\nX-Some: a\r\nx-some: b\r\nAUTHORIZATION: Bearer c\r\nExpect: 100-continue\r\n\r\n");
  const Request head = parser.take_head();
  EXPECT_EQ(parser.state(), State::complete);
  EXPECT_FALSE(head.expects_continue);
  EXPECT_TRUE(head.http_1_0);
  EXPECT_EQ(head.header("x-some"), "a");
  EXPECT_EQ(head.header("authorization"), "Bearer c");
  EXPECT_EQ(head.header("cookie"), "");
}

TEST(RequestParser, HoldsNoMoreThanItWasFed) {
  RequestParser parser(MessageLimits().header_bytes);
  parser.feed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000000\r\n\r\n");
  parser.take_head();
  parser.limit_body(2'000'000'000'000);
  const std::string part(8192, 'x');
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(parser.feed(part), part.size());
    ASSERT_EQ(parser.take_body().size(), part.size());
  }
}

TEST(RequestParser, RefusesWhatIsMalformed) {
  for (const std::string_view text : {
           "nonsense\r\n\r\n",
           "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET / HTTP/1.1\r\nHost h\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
           "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
           "GET / HTTP/1.1\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
           "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
           "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
           "\x16\x03\x01\x02\x00\x01",
       }) {
    EXPECT_EQ(status_of(text), 400) << text;
  }
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 501);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n"), 501);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n"), 417);
}

TEST(RequestParser, ReadsAnEmptyChunkedBodyHoweverItIsCut) {
  for (const std::string_view body : {"0\r\n\r\n", "000;x\r\nT: v\r\nU: w\r\n\r\n"}) {
    const std::string text = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body);
    for (std::size_t step = 1; step <= text.size(); ++step) {
      RequestParser parser(MessageLimits().header_bytes);
      const auto requests = parse_all(text, step, parser);
      ASSERT_EQ(requests.size(), 1) << step;
      EXPECT_EQ(parser.state(), State::between);
    }
  }
}

TEST(RequestParser, GivesEachByteOfAChunkAtOnce) {
  RequestParser parser(MessageLimits().header_bytes);
  parser.feed("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  parser.take_head();
  EXPECT_EQ(parser.feed("2\r\n"), 3);
  EXPECT_EQ(parser.feed("a"), 1);
  EXPECT_EQ(parser.take_body(), "a");
  EXPECT_EQ(parser.feed("b\r"), 1);
  EXPECT_EQ(parser.take_body(), "b");
  EXPECT_EQ(parser.feed("\r\n0\r\n\r"), 0);
  EXPECT_EQ(parser.feed("\r\n0\r\n\r\nGET"), 7);
  EXPECT_EQ(parser.state(), State::complete);
}

TEST(RequestParser, KeepsTheLimitOfFramingHoweverItIsCut) {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  const auto statuses = [&](const std::string& body) {
    std::set<int> found;
    const std::string text = head + body;
    for (std::size_t step = 1; step <= text.size(); ++step) {
      RequestParser parser(200);
      parse_all(text, step, parser);
      found.insert(parser.state() == State::failed ? parser.failure().status : 0);
    }
    return found;
  };
  const auto line = [](std::size_t size) { return "1;" + std::string(size - 2, 'x') + "\r\n"; };
  EXPECT_EQ(statuses(line(200) + "x\r\n" + line(200) + "x\r\n0\r\n\r\n"), std::set{0});
  EXPECT_EQ(statuses(line(201) + "x\r\n0\r\n\r\n"), std::set{431});
  EXPECT_EQ(statuses("1\r\nx\r\n" + line(201) + "x\r\n0\r\n\r\n"), std::set{431});
  EXPECT_EQ(statuses("0\r\nT: " + std::string(194, 'x') + "\r\n\r\n"), std::set{0});
  EXPECT_EQ(statuses("0\r\nT: " + std::string(195, 'x') + "\r\n\r\n"), std::set{431});
}

TEST(RequestParser, KeepsItsLimits) {
  const MessageLimits limits{.header_bytes = 200, .body_bytes = 10};
  const std::string long_header = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(300, 'x') + "\r\n\r\n";
  EXPECT_EQ(status_of(long_header, limits), 431);
  EXPECT_EQ(status_of("GET /" + std::string(300, 'x'), limits), 431);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", limits), 413);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", limits), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nghijk\r\n",
                      limits),
            413);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789", limits), 0);
  const std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(status_of(chunked + "1;" + std::string(300, 'x'), limits), 431);
  EXPECT_EQ(status_of(chunked + "0\r\nT: " + std::string(300, 'x'), limits), 431);
}

TEST(ParseTarget, DecodesPathAndQuery) {
  const auto target = parse_target("/api/%76%31/?a=1&b=x%20y+z&c&a=2");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->segments, (Segments{"api", "v1"}));
  const std::vector<std::pair<std::string, std::string>> query = {{"a", "1"}, {"b", "x y z"}, {"c", ""}, {"a", "2"}};
  EXPECT_EQ(target->query, query);
}

TEST(ParseTarget, PathsInOneForm) {
  EXPECT_EQ(parse_target("/")->segments, Segments{});
  EXPECT_EQ(parse_target("//")->segments, Segments{});
  EXPECT_EQ(parse_target("/health/")->segments, Segments{"health"});
  EXPECT_EQ(parse_target("/health//")->segments, Segments{"health"});
  EXPECT_EQ(parse_target("/a//b")->segments, (Segments{"a", "", "b"}));
  EXPECT_EQ(parse_target("http://host:8642/health")->segments, Segments{"health"});
  EXPECT_EQ(parse_target("/a%2Fb/%252F/%C3%A4")->segments, (Segments{"a/b", "%2F", "ä"}));
  EXPECT_FALSE(parse_target("*"));
  EXPECT_FALSE(parse_target(""));
  EXPECT_FALSE(parse_target("/ b"));
}

}  // namespace
}  // namespace millrace::http
