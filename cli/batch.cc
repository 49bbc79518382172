// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "batch_inputs.h"
#include "batch_worker.h"
#include "commands.h"
#include "crash_record.h"
#include "exit_codes.h"
#include "fork_server.h"
#include "guard.h"
#include "json_value.h"
#include "progress.h"
#include "session.h"

namespace perfcore::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxFrame = size_t{64} << 20;
constexpr size_t kMaxLastWords = 4096;
constexpr size_t kPiece = size_t{1} << 16;  // of what workers send
/// Crashes of one transaction, and how long the first of them waits.
constexpr size_t kTransaction = 64;
constexpr std::chrono::milliseconds kLongestWait{250};
/// Of waiting for a worker that uses no CPU time: a file system that hangs.
constexpr std::chrono::seconds kWallLimit{60};
constexpr size_t kShownFailures = 20;
constexpr size_t kMaxJobs = 256;
/// Dumps of one build that are learnt from: those of one kind of crash have the same pages, minimal ones no
/// others.
constexpr int kMostLearntPerBuild = 4;
/// Ends of the workers' server, which a dump that is made to hurt can bring about only by being learnt from.
constexpr int kMostRestarts = 16;

struct Worker {
  BatchInput input;
  pid_t pid = -1;
  int result = -1, words = -1;  ///< its pipes
  std::vector<uint8_t> received;
  std::string last_words;
  size_t crashes = 0;
  std::string build_id;  ///< of its last crash
  Clock::time_point deadline;
  std::string broken;  ///< why what it sends is no longer listened to
};

struct Summary {
  size_t found = 0, skipped = 0, done = 0, empty = 0, failed = 0, crashes = 0, known = 0;
  std::vector<std::pair<std::string, std::string>> failures;  ///< the first ones
  std::map<std::string, std::string> titles;                  ///< of new and grown buckets
  std::map<std::string, size_t> new_buckets, grown_buckets;   ///< bucket -> new crashes of this run
  double seconds = 0;
};

class Batch {
 public:
  Batch(ForkServer& server, Store& store, size_t jobs, bool again)
      : server_(server), store_(store), jobs_(jobs), again_(again), progress_("batch") {}
  ~Batch() {
    for (const auto& worker : workers_) {
      kill(worker->pid, SIGKILL);
      close(worker->result);
      close(worker->words);
    }
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  Summary run(const std::vector<BatchInput>& inputs) {
    const auto begin = Clock::now();
    summary_.found = inputs.size();
    auto next = inputs.begin();
    while (next != inputs.end() || !once_more_.empty() || !workers_.empty()) {
      restart_time_limit();
      try {
        while (!once_more_.empty() && workers_.size() < jobs_) {
          start(once_more_.back());
          once_more_.pop_back();
        }
        for (; next != inputs.end() && workers_.size() < jobs_; ++next) {
          if (!again_ && store_.is_done(next->file))
            ++summary_.skipped;
          else
            start(*next);
        }
        listen();
      } catch (const ForkServerEnded& ended) {
        start_server_again(ended);
      }
      if (inputs_.size() + crashes_.size() >= kTransaction ||
          (waiting_since_ && Clock::now() - *waiting_since_ > kLongestWait))
        flush();
      const size_t finished = summary_.skipped + summary_.done + summary_.empty + summary_.failed;
      progress_.report_items(finished, summary_.found, summary_.skipped);
    }
    flush();
    summary_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return std::move(summary_);
  }

 private:
  void start(const BatchInput& input) {
    std::array<int, 2> result = {}, words = {};
    if (pipe2(result.data(), O_CLOEXEC) != 0 || pipe2(words.data(), O_CLOEXEC) != 0)
      throw InputError(fmt::format("no pipe for a worker: {}; give fewer --jobs", std::strerror(errno)));
    auto worker = std::make_unique<Worker>();
    worker->input = input;
    worker->result = result[0];
    worker->words = words[0];
    worker->deadline = Clock::now() + kWallLimit;
    try {
      worker->pid = server_.start(input, result[1], words[1]);
    } catch (...) {
      for (const int fd : {result[0], result[1], words[0], words[1]}) close(fd);
      throw;
    }
    close(result[1]);
    close(words[1]);
    workers_.push_back(std::move(worker));
  }

  /// What was being worked on is begun again; a crash that has come in already is the same crash then.
  void start_server_again(const ForkServerEnded& ended) {
    if (++restarts_ > kMostRestarts) throw InputError(fmt::format("{} {} times", ended.what(), restarts_));
    for (const auto& worker : workers_) {
      close(worker->result);
      close(worker->words);
      once_more_.push_back(worker->input);
    }
    workers_.clear();
    learnt_.clear();
    server_.restart();
  }

  /// A second dump of a build is when it pays to learn from one. A build whose dump ends the server is left
  /// alone from then on.
  void learn_from(const BatchInput& input, const std::string& build_id) {
    if (build_id.empty() || not_learnt_.contains(build_id) || ++seen_[build_id] < 2 ||
        learnt_[build_id] == kMostLearntPerBuild)
      return;
    seen_.erase(build_id);
    ++learnt_[build_id];
    not_learnt_.insert(build_id);
    server_.learn(input.file.path);
    not_learnt_.erase(build_id);
  }

  void listen() {
    std::vector<pollfd> polled;
    for (const auto& worker : workers_) {
      polled.push_back({worker->result, POLLIN, 0});
      polled.push_back({worker->words, POLLIN, 0});
    }
    constexpr int kTickMs = 100;
    if (!polled.empty()) ::poll(polled.data(), polled.size(), kTickMs);
    const auto now = Clock::now();
    for (size_t i = 0; i < workers_.size(); ++i) {
      Worker& worker = *workers_[i];
      if (polled[2 * i + 1].revents != 0) take_words(worker);
      bool ended = false;
      if (polled[2 * i].revents != 0) ended = !take_result(worker);
      if (!ended && now > worker.deadline)
        give_up(worker, fmt::format("no result within {} s", kWallLimit.count()));
      if (ended) finish(worker);
    }
    std::erase_if(workers_, [](const auto& worker) { return worker->pid < 0; });
    while (!worth_learning_.empty()) {
      const auto [input, build_id] = std::move(worth_learning_.back());
      worth_learning_.pop_back();
      learn_from(input, build_id);
    }
  }

  static void give_up(Worker& worker, std::string why) {
    if (worker.broken.empty()) worker.broken = std::move(why);
    kill(worker.pid, SIGKILL);
  }

  static void take_words(Worker& worker) {
    std::array<char, 1024> bytes;
    const ssize_t got = ::read(worker.words, bytes.data(), bytes.size());
    if (got > 0 && worker.last_words.size() < kMaxLastWords)
      worker.last_words.append(bytes.data(), static_cast<size_t>(got));
  }

  /// \return false when no more comes
  bool take_result(Worker& worker) {
    std::array<uint8_t, kPiece> bytes;
    const ssize_t got = ::read(worker.result, bytes.data(), bytes.size());
    if (got < 0) return errno == EINTR;
    if (got == 0) return false;
    if (!worker.broken.empty()) return true;
    worker.received.insert(worker.received.end(), bytes.begin(), bytes.begin() + got);
    uint64_t size = 0;
    while (worker.received.size() >= sizeof size) {
      std::memcpy(&size, worker.received.data(), sizeof size);
      if (size > kMaxFrame) {
        give_up(worker, fmt::format("its answer has {} bytes, more than {}", size, kMaxFrame));
        break;
      }
      if (worker.received.size() - sizeof size < size) break;
      try {
        crashes_.push_back(unpacked_crash(std::span(worker.received).subspan(sizeof size, size)));
      } catch (const std::exception&) {
        give_up(worker, "its answer is damaged");
        break;
      }
      worker.received.erase(worker.received.begin(),
                            worker.received.begin() + static_cast<ptrdiff_t>(sizeof size + size));
      ++worker.crashes;
      worker.build_id = crashes_.back().build_id;
      worker.deadline = Clock::now() + kWallLimit;
      if (!waiting_since_) waiting_since_ = Clock::now();
      if (crashes_.size() >= kTransaction) flush();
    }
    return true;
  }

  void finish(Worker& worker) {
    const int status = server_.wait(worker.pid);
    worker.pid = -1;
    pollfd more = {worker.words, POLLIN, 0};
    while (::poll(&more, 1, 0) > 0 && (more.revents & POLLIN) != 0 &&
           worker.last_words.size() < kMaxLastWords)
      take_words(worker);
    close(worker.result);
    close(worker.words);
    StoredInput input = worker.input.file;
    input.outcome = worker.crashes > 0 ? "done" : "empty";
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : kExitInternal;
    if ((code != kExitDone && code != kExitDoneAlone) || !worker.broken.empty()) {
      input.outcome = "failed";
      input.why = reason_of(worker, status);
      ++summary_.failed;
      if (summary_.failures.size() < kShownFailures) summary_.failures.emplace_back(input.path, input.why);
    } else if (worker.crashes > 0) {
      ++summary_.done;
      if (code == kExitDoneAlone) worth_learning_.emplace_back(worker.input, worker.build_id);
    } else {
      ++summary_.empty;
    }
    inputs_.push_back(std::move(input));
    if (!waiting_since_) waiting_since_ = Clock::now();
  }

  static std::string reason_of(const Worker& worker, int status) {
    if (!worker.broken.empty()) return worker.broken;
    std::string words = worker.last_words;
    while (!words.empty() && words.back() == '\n') words.pop_back();
    if (words.starts_with("perfcore: ")) words.erase(0, 10);
    // The summary names the file.
    if (words.starts_with(worker.input.file.path + ": ")) words.erase(0, worker.input.file.path.size() + 2);
    if (!words.empty()) return words;
    if (WIFSIGNALED(status)) return fmt::format("the worker was ended by signal {}", WTERMSIG(status));
    return fmt::format("the worker ended with code {}", WEXITSTATUS(status));
  }

  void flush() {
    if (crashes_.empty() && inputs_.empty()) return;
    const std::vector<Added> added = store_.add(crashes_, inputs_);
    for (size_t i = 0; i < added.size(); ++i) {
      const Added& one = added[i];
      ++summary_.crashes;
      if (one.how != Added::How::kNew) {
        ++summary_.known;
        continue;
      }
      if (one.new_bucket && !summary_.grown_buckets.contains(one.bucket)) summary_.new_buckets[one.bucket];
      const auto fresh = summary_.new_buckets.find(one.bucket);
      ++(fresh != summary_.new_buckets.end() ? fresh->second : summary_.grown_buckets[one.bucket]);
      summary_.titles.emplace(one.bucket, crashes_[i].signature.title);
    }
    crashes_.clear();
    inputs_.clear();
    waiting_since_.reset();
  }

  ForkServer& server_;
  Store& store_;
  size_t jobs_;
  bool again_;
  Progress progress_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<BatchInput> once_more_;  ///< whose workers have ended with the server
  int restarts_ = 0;
  std::vector<std::pair<BatchInput, std::string>> worth_learning_;  ///< with the build ID
  std::map<std::string, int> seen_, learnt_;                        ///< by build ID
  std::set<std::string> not_learnt_;                                ///< build IDs
  std::vector<CrashRecord> crashes_;
  std::vector<StoredInput> inputs_;
  std::optional<Clock::time_point> waiting_since_;  ///< the oldest of crashes_ and inputs_
  Summary summary_;
};

/// Ctrl-C: nothing is lost by it, which the user should know. Async-signal-safe.
void on_interrupt(int signal) {
  constexpr std::string_view kWords =
      "\nperfcore: interrupted; what was finished is in the store, and the same command goes on from there\n";
  if (write(STDERR_FILENO, kWords.data(), kWords.size()) < 0) _exit(kExitInternal);
  raise(signal);
}

std::string to_json(const Summary& summary) {
  Json failures = Json::array();
  for (const auto& [path, why] : summary.failures) failures.push_back({{"path", path}, {"why", why}});
  return dump({{"schema", "perfcore.batch/1"},
               {"found", summary.found},
               {"skipped", summary.skipped},
               {"done", summary.done},
               {"empty", summary.empty},
               {"failed", summary.failed},
               {"failures", std::move(failures)},
               {"crashes", summary.crashes},
               {"known", summary.known},
               {"new_buckets", summary.new_buckets},
               {"grown_buckets", summary.grown_buckets},
               {"seconds", std::round(summary.seconds * 1000) / 1000}});
}

std::string to_text(const Summary& summary, TextWriter out) {
  const size_t worked = summary.done + summary.empty + summary.failed;
  out.paragraph(
      fmt::format("{} done, {} failed, {} without a crash, {} skipped (done before); {:.1f} s, {:.0f} "
                  "files/s.",
                  summary.done, summary.failed, summary.empty, summary.skipped, summary.seconds,
                  summary.seconds > 0 ? static_cast<double>(worked) / summary.seconds : 0));
  if (summary.crashes > 0)
    out.paragraph(fmt::format("{} crashes: {} new, {} in the store already.", summary.crashes,
                              summary.crashes - summary.known, summary.known));
  const auto list = [&](std::string_view title, const std::map<std::string, size_t>& buckets) {
    if (buckets.empty()) return;
    out.heading(title);
    std::vector<std::pair<std::string, size_t>> most_first(buckets.begin(), buckets.end());
    std::stable_sort(most_first.begin(), most_first.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    for (const auto& [id, count] : most_first)
      out.line(fmt::format("{:>6}  {}  {}", fmt::format("+{}", count), id, summary.titles.at(id)));
  };
  list("New buckets", summary.new_buckets);
  list("Grown buckets", summary.grown_buckets);
  if (!summary.failures.empty()) out.heading("Failed");
  for (const auto& [path, why] : summary.failures)
    out.paragraph(why.starts_with(path + " ") ? why : fmt::format("{}: {}", path, why), 2, 2);
  if (summary.failed > summary.failures.size())
    out.paragraph(fmt::format("... and {} more", summary.failed - summary.failures.size()), 2);
  return out.text();
}

/// The files that a batch would read.
std::string listed(const std::vector<BatchInput>& inputs, Store& store, const Options& options) {
  std::vector<std::string> files;
  for (const BatchInput& input : inputs) {
    restart_time_limit();
    if (options.again || !store.is_done(input.file)) files.push_back(input.file.path);
  }
  if (!options.json()) {
    std::string lines;
    for (const std::string& file : files) lines += file + '\n';
    return lines;
  }
  return dump(
      {{"schema", "perfcore.batch-list/1"}, {"skipped", inputs.size() - files.size()}, {"files", files}});
}

}  // namespace

int run_batch(Session& session) {
  const Options& options = session.options();
  const double jobs =
      std::isnan(options.jobs) ? static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)) : options.jobs;
  if (!(jobs >= 1 && jobs <= kMaxJobs) || jobs != std::floor(jobs))
    throw UsageError(fmt::format("--jobs takes a number from 1 to {}", kMaxJobs));
  // Before anything else: the server has no use for what this process opens.
  ForkServer server(session);
  set_activity("looking for dumps");
  const std::vector<BatchInput> inputs = find_inputs(options.arguments);
  if (inputs.empty())
    throw InputError(
        "nothing to work on was found: neither dumps nor recordings nor console text (*.log, "
        "*.txt, *dmesg*, *.jsonl)");
  set_activity("opening the store");
  const auto store = Store::open(options.store.empty() ? Store::default_url() : options.store);
  if (options.list) {
    session.answer_text(listed(inputs, *store, options));
    return kExitDone;
  }
  set_activity("running a batch");
  Summary summary;
  {
    struct sigaction interrupt = {};
    interrupt.sa_handler = on_interrupt;
    interrupt.sa_flags = static_cast<int>(SA_RESETHAND);  // raised again it ends the process
    sigaction(SIGINT, &interrupt, nullptr);
    Batch batch(server, *store, static_cast<size_t>(jobs), options.again);
    summary = batch.run(inputs);
  }
  session.answer_text(options.json() ? to_json(summary) : to_text(summary, session.text_writer()));
  // Nothing at all could be used: something is wrong with the input as a whole.
  const bool nothing = summary.failed > 0 && summary.failed == summary.found && summary.crashes == 0;
  return nothing ? kExitInput : kExitDone;
}

}  // namespace perfcore::cli
