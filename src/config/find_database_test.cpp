#include "config/find_database.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace millrace::config {
namespace {

class FindDatabase : public ::testing::Test {
 protected:
  FindDatabase() {
    std::filesystem::create_directory(folder_);
    sources_.default_file = folder_ + "/none.toml";
  }
  ~FindDatabase() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, std::string_view content) {
    auto path = folder_ + "/" + name;
    std::ofstream(path) << content;
    return path;
  }

  /// What is found, without the password, and where.
  std::string found(const std::optional<std::string>& url = std::nullopt) {
    const auto database = find_database(sources_, url, dotenv_);
    if (!database) return "error: " + database.error().message;
    left_out_ = database->left_out;
    const auto loaded = load(database->sources);
    if (!loaded) return "not loaded: " + loaded.error().message;
    password_ = loaded->settings.database_url.password;
    return masked(loaded->settings.database_url) + " by " + database->origin;
  }

  const std::string folder_ = fmt::format("{}/find_database_{}", ::testing::TempDir(), getpid());
  const std::string dotenv_ = folder_ + "/.env";
  Sources sources_;
  std::vector<std::string> left_out_;
  std::string password_;
};

TEST_F(FindDatabase, TheFirstThatSaysItWins) {
  write(".env", "PGHOST=six\n");
  EXPECT_TRUE(found().starts_with("postgresql://")) << found();
  EXPECT_TRUE(found().ends_with("@six:5432/postgres by PGHOST in " + dotenv_)) << found();
  sources_.environment = {{"PGHOST", "five"}, {"PGUSER", "u"}, {"DATABASE_URL", ""}};
  EXPECT_EQ(found(), "postgresql://u@five:5432/u by PGHOST, PGUSER");
  write(".env", "PGHOST=six\nDATABASE_URL=postgres://u@four/d\n");
  EXPECT_EQ(found(), "postgresql://u@four:5432/d by DATABASE_URL in " + dotenv_);
  write(".env", "DATABASE_URL=postgres://u@four/d\nMILLRACE_DATABASE_URL=postgres://u@four-and-a-half/d\n");
  EXPECT_EQ(found(), "postgresql://u@four-and-a-half:5432/d by MILLRACE_DATABASE_URL in " + dotenv_);
  sources_.file = write("m.toml", "POOL_SIZE = 3\nDATABASE_URL = \"postgresql://u@three/d\"\n");
  EXPECT_EQ(found(), "postgresql://u@three:5432/d by " + *sources_.file + ":2");
  sources_.environment["DATABASE_URL"] = "postgres://u@two/d";
  EXPECT_EQ(found(), "postgresql://u@two:5432/d by environment variable DATABASE_URL");
  sources_.environment["MILLRACE_DATABASE_URL"] = "postgres://u@two-and-a-half/d";
  EXPECT_EQ(found(), "postgresql://u@two-and-a-half:5432/d by environment variable MILLRACE_DATABASE_URL");
  sources_.flags = {{"DATABASE_URL", "postgres://u@flag/d"}};
  EXPECT_EQ(found(), "postgresql://u@flag:5432/d by --database-url");
  EXPECT_EQ(found("postgres://u@one/d"), "postgresql://u@one:5432/d by command line");
}

TEST_F(FindDatabase, NobodySaysIt) { EXPECT_TRUE(found().ends_with("@127.0.0.1:5432/postgres by default")) << found(); }

TEST_F(FindDatabase, UrlsAsApplicationsHaveThem) {
  write(".env",
        "PW=s3cret%40\nexport DATABASE_URL=\"postgresql+asyncpg://app:${PW}@db/shop?ssl=require&prepared=0\" # ours\n");
  EXPECT_EQ(found(), "postgresql://app:***@db:5432/shop?sslmode=require by DATABASE_URL in " + dotenv_);
  EXPECT_EQ(password_, "s3cret@");
  EXPECT_EQ(left_out_, std::vector<std::string>{"prepared"});
}

TEST_F(FindDatabase, LibpqsVariables) {
  sources_.environment = {{"PGHOST", "/run/pg"},        {"PGPORT", "5433"},        {"PGUSER", "ada"},
                          {"PGPASSWORD", "p@/"},        {"PGDATABASE", "shop"},    {"PGSSLMODE", "verify-full"},
                          {"PGSSLROOTCERT", "/ca.pem"}, {"PGSERVICE", "elsewhere"}};
  EXPECT_EQ(found(),
            "postgresql://ada:***@/shop?host=/run/pg&port=5433&sslmode=verify-full&sslrootcert=/ca.pem by PGHOST, "
            "PGPORT, PGUSER, PGDATABASE, PGPASSWORD");
  EXPECT_EQ(password_, "p@/");
  EXPECT_EQ(left_out_, std::vector<std::string>{"PGSERVICE"});
  sources_.environment = {{"PGHOST", "a,b"}, {"PGPORT", "1,2"}, {"PGUSER", "u"}, {"PGTARGETSESSIONATTRS", "primary"}};
  EXPECT_EQ(found(), "postgresql://u@/u?host=a,b&port=1,2&target_session_attrs=primary by PGHOST, PGPORT, PGUSER");
  sources_.environment = {{"PGHOST", "a"}, {"PGUSER", "u"}, {"PGTARGETSESSIONATTRS", "standby"}};
  EXPECT_EQ(found(), "postgresql://u@a:5432/u by PGHOST, PGUSER");
  EXPECT_EQ(left_out_, std::vector<std::string>{"PGTARGETSESSIONATTRS"});
  sources_.environment = {{"PGSSLMODE", "require"}};
  EXPECT_TRUE(found().ends_with(" by default")) << found();
}

TEST_F(FindDatabase, ErrorsNameTheirPlaceAndNoPassword) {
  write(".env", "DATABASE_URL=postgres://app:hunter2#@db/d\n");
  EXPECT_TRUE(found().starts_with("error: DATABASE_URL in " + dotenv_ + ": ")) << found();
  EXPECT_FALSE(found().contains("hunter2"));
  EXPECT_TRUE(found("mysql://app:hunter2@db/d").starts_with("error: command line: ")) << found();
  sources_.environment = {{"DATABASE_URL", "postgres://app:hunter2@db:0/d"}};
  EXPECT_TRUE(found().starts_with("error: environment variable DATABASE_URL: ")) << found();
  EXPECT_FALSE(found().contains("hunter2"));
  for (const auto& [name, value] :
       {std::pair("PGPORT", "0"), {"PGPORT", "x"}, {"PGPORT", "70000"}, {"PGHOST", "a,,b"}, {"PGPORT", "1,2"}}) {
    std::filesystem::remove(dotenv_);
    sources_.environment = {{name, value}};
    EXPECT_TRUE(found().starts_with(std::string("error: ") + name + ": ")) << found();
  }
  sources_.environment = {};
  sources_.file = write("m.toml", "DATABASE_URL = 3\n");
  EXPECT_TRUE(found().starts_with("error: " + *sources_.file + ":1: ")) << found();
}

TEST_F(FindDatabase, AFolderIsNoDotenv) {
  std::filesystem::create_directory(dotenv_);
  EXPECT_TRUE(found().ends_with(" by default")) << found();
}

}  // namespace
}  // namespace millrace::config
