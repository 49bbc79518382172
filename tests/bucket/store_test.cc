// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The store, on SQLite and on a PostgreSQL server that the test starts for itself.
#include "perfcore/store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

namespace perfcore {
namespace {

namespace fs = std::filesystem;

fs::path fresh_directory() {
  std::string name = (fs::temp_directory_path() / "perfcore-store-XXXXXX").string();
  return mkdtemp(name.data());
}

/// A server on a UNIX socket in a directory of its own. initdb refuses to run as root: then it is the
/// package's user that runs it.
class Server {
 public:
  Server() : directory_(fresh_directory()) {
    fs::path programs;
    for (const auto& version : fs::directory_iterator("/usr/lib/postgresql"))
      programs = std::max(programs, version.path() / "bin");
    const std::string as = geteuid() == 0 ? "runuser -u postgres -- " : "";
    if (geteuid() == 0 &&
        std::system(("chown postgres " + directory_.string()).c_str()) != 0)  // NOLINT(cert-env33-c)
      return;
    const std::string data = (directory_ / "data").string();
    const std::string log = " >" + (directory_ / "out").string() + " 2>&1";
    stop_ = "cd / && " + as + (programs / "pg_ctl").string() + " -D " + data + " -m immediate stop" + log;
    running_ =
        std::system(
            ("cd / && " + as + (programs / "initdb").string() + " -U tester -A trust -N -D " + data + log)
                .c_str()) == 0 &&
        std::system(("cd / && " + as + (programs / "pg_ctl").string() + " -w -D " + data + " -l " + data +
                     "/log -o \"-k " + directory_.string() + " -c listen_addresses=''\" start" + log)
                        .c_str()) == 0;
  }
  ~Server() {
    if (running_ && std::system(stop_.c_str()) != 0) ADD_FAILURE() << stop_;
    std::error_code error;
    fs::remove_all(directory_, error);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  bool running() const { return running_; }
  std::string url(const std::string& database) const {
    return "postgresql://tester@/" + database + "?host=" + directory_.string();
  }
  bool make(const std::string& database) const {
    const std::string command = "createdb -h " + directory_.string() + " -U tester " + database;
    return std::system(command.c_str()) == 0;
  }

 private:
  fs::path directory_;
  std::string stop_;
  bool running_ = false;
};

Signature signature(const std::string& id, const std::string& cause, std::vector<std::string> facts = {},
                    bool partial = false) {
  Signature made;
  made.id = id + (partial ? "~partial" : "");
  made.crash_class = "null-deref";
  made.cause = cause;
  made.facts = std::move(facts);
  made.partial = partial;
  made.title = "title of " + id;
  return made;
}

CrashRecord crash(const std::string& identity, Signature signature) {
  CrashRecord made;
  made.identity = identity;
  made.signature = std::move(signature);
  made.kernel = "6.12.117";
  made.host = "node-" + identity;
  made.time = 1'700'000'000;
  made.source = "vmcore";
  made.path = "/crash/" + identity;
  made.summary = "what happened";
  made.story = {"first", "then"};
  made.findings = {{"a-rule", "title", "proven", "fired", true, 90, {{"vendor", "amd"}}}};
  made.frames = {{"foo", ""}, {"bar", "mod"}};
  made.answer = "{}";
  return made;
}

class StoreTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("sqlite")) {
      directory_ = fresh_directory();
      url_ = "sqlite:" + (directory_ / "deep" / "crashes.db").string();
      return;
    }
    server_ = std::make_unique<Server>();
    ASSERT_TRUE(server_->running()) << "no PostgreSQL server: is the package postgresql installed?";
    ASSERT_TRUE(server_->make("crashes"));
    url_ = server_->url("crashes");
  }
  void TearDown() override {
    std::error_code error;
    if (!directory_.empty()) fs::remove_all(directory_, error);
  }
  std::unique_ptr<Store> open() { return Store::open(url_); }

  std::string url_;

 private:
  fs::path directory_;
  std::unique_ptr<Server> server_;
};

TEST_P(StoreTest, KeepsACrashOnceAndItsBestCopy) {
  const auto store = open();
  CrashRecord copy = crash("1", signature("pc1-a", "stack:foo"));
  copy.source = "text";
  EXPECT_EQ(store->add(std::array{copy}).front().how, Added::How::kNew);
  copy.source = "minimal";
  copy.summary = "told better \xff\x00 end";
  EXPECT_EQ(store->add(std::array{copy}).front().how, Added::How::kReplaced);
  copy.source = "recording";
  copy.summary = "told worse";
  EXPECT_EQ(store->add(std::array{copy}).front().how, Added::How::kKnown);
  const auto buckets = store->buckets();
  ASSERT_EQ(buckets.size(), 1u);
  EXPECT_EQ(buckets[0].count, 1);
  EXPECT_EQ(buckets[0].exemplar.summary, "told better \xef\xbf\xbd");
  EXPECT_EQ(buckets[0].exemplar.story, (std::vector<std::string>{"first", "then"}));
  EXPECT_EQ(buckets[0].first_seen, 1'700'000'000);
  EXPECT_EQ(buckets[0].hosts, std::vector<std::string>{"node-1"});
}

TEST_P(StoreTest, LinksAPartialBucketToTheOnlyOneThatItCanBe) {
  const auto store = open();
  const auto place = [&] { return store->buckets("pc1-p~partial").front().id; };
  store->add(std::array{crash("1", signature("pc1-p", "a-rule", {"generation=?"}, true))});
  EXPECT_EQ(place(), "pc1-p~partial");
  store->add(std::array{crash("2", signature("pc1-other", "b-rule", {"generation=G1"}))});
  EXPECT_EQ(place(), "pc1-p~partial");
  store->add(std::array{crash("3", signature("pc1-one", "a-rule", {"generation=G1"}))});
  EXPECT_EQ(place(), "pc1-one");
  EXPECT_EQ(store->buckets("pc1-one").front().count, 2);
  store->add(std::array{crash("4", signature("pc1-two", "a-rule", {"generation=G2"}))});
  EXPECT_EQ(place(), "pc1-p~partial") << "it may be either";
}

TEST_P(StoreTest, FindsRelatedBuckets) {
  const auto store = open();
  Signature a = signature("pc1-a", "rule"), b = signature("pc1-b", "stack:foo");
  a.related = {{"pc1-b", "log", "stack:foo"}};
  store->add(std::array{crash("1", a), crash("2", b)});
  EXPECT_EQ(store->buckets("pc1-a").front().related, std::vector<std::string>{"pc1-b"});
  EXPECT_EQ(store->buckets("pc1-b").front().related, std::vector<std::string>{"pc1-a"});
}

TEST_P(StoreTest, MovesCrashesToNewSignatures) {
  const auto store = open();
  store->add(std::array{crash("1", signature("pc1-a", "stack:foo"))});
  store->resign({{"1", signature("pc2-a", "stack:foo")}});
  ASSERT_EQ(store->buckets().size(), 1u);
  EXPECT_EQ(store->buckets().front().id, "pc2-a");
}

TEST_P(StoreTest, KnowsTheFilesThatItHas) {
  const auto store = open();
  StoredInput input{"/crash/1", 10, 20, 30, "done", ""};
  EXPECT_FALSE(store->is_done(input));
  store->add({}, std::array{input});
  EXPECT_TRUE(store->is_done(input));
  input.mtime_ns = 21;
  EXPECT_FALSE(store->is_done(input));
  input.outcome = "failed";
  store->add({}, std::array{input});
  EXPECT_FALSE(store->is_done(input));
}

TEST_P(StoreTest, HasManyWriters) {
  open();
  constexpr int kWriters = 4, kCrashes = 25;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w)
    writers.emplace_back([&, w] {
      const auto store = open();
      for (int i = 0; i < kCrashes; ++i) {
        // Every second crash is one that all of them have.
        const std::string name = i % 2 == 0 ? std::to_string(i) : std::to_string(1000 * w + i);
        store->add(std::array{crash("id" + name, signature("pc1-" + std::to_string(i % 5), "stack:foo"))});
      }
    });
  for (std::thread& writer : writers) writer.join();
  int64_t count = 0;
  for (const StoredBucket& bucket : open()->buckets()) count += bucket.count;
  EXPECT_EQ(count, 13 + kWriters * 12);
}

TEST_P(StoreTest, KeepsWhatWasAcknowledgedWhenTheWriterIsKilled) {
  open();
  for (int round = 0; round < 5; ++round) {
    int acknowledged[2];
    ASSERT_EQ(pipe(acknowledged), 0);
    const pid_t writer = fork();
    if (writer == 0) {
      const auto store = open();
      for (int i = 0;; ++i) {
        store->add(std::array{
            crash(std::to_string(round) + "-" + std::to_string(i), signature("pc1-a", "stack:foo"))});
        if (write(acknowledged[1], "x", 1) != 1) _exit(1);
      }
    }
    close(acknowledged[1]);
    int64_t told = 0;
    char byte;
    while (told < 3 + 4 * round && read(acknowledged[0], &byte, 1) == 1) ++told;
    kill(writer, SIGKILL);
    waitpid(writer, nullptr, 0);
    while (read(acknowledged[0], &byte, 1) == 1) ++told;
    close(acknowledged[0]);
    int64_t kept = 0;
    open()->crashes("pc1-a", [&](StoredCrash&& one) {
      if (one.identity.starts_with(std::to_string(round) + "-")) ++kept;
    });
    EXPECT_GE(kept, told);
    EXPECT_LE(kept, told + 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Databases, StoreTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Store, RefusesWhatItCannotRead) {
  EXPECT_THROW(Store::open("/proc/none/crashes.db"), StoreError);
  EXPECT_THROW(Store::open("postgresql://nobody@/none?host=/nonexistent"), StoreError);
  EXPECT_THROW(Store::open(std::string(PERFCORE_TESTDATA) + "/README.md"), StoreError);
}

}  // namespace
}  // namespace perfcore
