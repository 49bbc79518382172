// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "analyzers/registry.h"
#include "batch_inputs.h"
#include "commands.h"
#include "crash_record.h"
#include "exit_codes.h"
#include "guard.h"
#include "json_value.h"
#include "progress.h"
#include "session.h"

namespace perfcore::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxFrame = size_t{64} << 20;
constexpr size_t kMaxLastWords = 4096;
constexpr size_t kPiece = size_t{1} << 16;
/// Console text as such; of a JSONL file, a line.
constexpr size_t kMaxLine = size_t{64} << 20;
constexpr size_t kMaxReports = 1024;
/// Crashes of one transaction, and how long the first of them waits.
constexpr size_t kTransaction = 64;
constexpr std::chrono::milliseconds kLongestWait{250};
/// Of waiting for a worker that uses no CPU time: a file system that hangs.
constexpr std::chrono::seconds kWallLimit{60};
constexpr size_t kShownFailures = 20;
constexpr size_t kMaxJobs = 256;

void write_all(int fd, const void* bytes, size_t size) {
  const char* from = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = ::write(fd, from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(kExitInternal);  // the parent is gone
    from += written;
    size -= static_cast<size_t>(written);
  }
}

void send(int fd, const CrashRecord& crash) {
  const std::vector<uint8_t> bytes = packed(crash);
  const uint64_t size = bytes.size();
  write_all(fd, &size, sizeof size);
  write_all(fd, bytes.data(), bytes.size());
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

template <typename Take>
void read_pieces(const std::string& path, Take&& take) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "re"));
  if (!file) throw InputError(fmt::format("{}: {}", path, std::strerror(errno)));
  std::string piece(kPiece, '\0');
  while (const size_t got = std::fread(piece.data(), 1, piece.size(), file.get())) {
    restart_time_limit();
    take(std::string_view(piece.data(), got));
  }
  if (std::ferror(file.get())) throw InputError(fmt::format("{}: {}", path, std::strerror(errno)));
}

/// The reports of one text, as they come, and the crash that they make.
class TextCrash {
 public:
  void feed(std::string_view piece) { parser_.feed(piece); }
  void send_to(int fd, const std::string& path) {
    parser_.finish();
    if (!reports_.empty()) send(fd, make_crash_record(reports_, path, identity_));
  }

 private:
  std::vector<TextReport> reports_;
  std::string identity_;
  ConsoleParser parser_{[this](ConsoleReport&& report) {
    if (reports_.size() == kMaxReports) return;
    if (reports_.empty()) identity_ = text_identity(report);
    reports_.push_back(make_text_report(std::move(report)));
  }};
};

void work_on_line(int fd, const std::string& path, size_t number, std::string_view line) {
  const nlohmann::json input = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
  if (!input.is_object() || !input.contains("text") || !input["text"].is_string()) {
    fmt::print(stderr, "line {} is not an object with a string \"text\"\n", number);
    return;
  }
  std::string id = std::to_string(number);
  if (input.contains("id"))
    id = input["id"].is_string() ? input["id"].get<std::string>() : input["id"].dump();
  TextCrash crash;
  crash.feed(input["text"].get_ref<const std::string&>());
  crash.send_to(fd, fmt::format("{}#{}", path, id));
}

void work_on_jsonl(int fd, const std::string& path) {
  std::string line;
  size_t number = 1;
  bool too_long = false;
  const auto end_line = [&] {
    if (too_long)
      fmt::print(stderr, "line {} is longer than {} MiB\n", number, kMaxLine >> 20);
    else if (!line.empty())
      work_on_line(fd, path, number, line);
    ++number;
    line.clear();
    too_long = false;
  };
  read_pieces(path, [&](std::string_view piece) {
    while (!piece.empty()) {
      const size_t end = piece.find('\n');
      const std::string_view part = piece.substr(0, end);
      too_long |= line.size() + part.size() > kMaxLine;
      if (!too_long) line.append(part);
      if (end == piece.npos) return;
      end_line();
      piece.remove_prefix(end + 1);
    }
  });
  end_line();
}

/// What a worker does; it has a process of its own.
void work(Session& session, const BatchInput& input, int fd) {
  const std::string& path = input.file.path;
  if (input.kind == BatchInput::Kind::kJsonl) return work_on_jsonl(fd, path);
  if (input.kind == BatchInput::Kind::kText) {
    TextCrash crash;
    read_pieces(path, [&](std::string_view piece) { crash.feed(piece); });
    return crash.send_to(fd, path);
  }
  const auto kernel = session.open({path});
  Diagnosis diagnosis(*kernel);
  const TriageReport report = make_triage_report(diagnosis, all_rules(), true);
  send(fd, make_crash_record(report, *kernel, diagnosis.log()));
}

struct Worker {
  BatchInput input;
  pid_t pid = -1;
  int result = -1, words = -1;  ///< its pipes
  std::vector<uint8_t> received;
  std::string last_words;
  size_t crashes = 0;
  Clock::time_point deadline;
  std::string broken;  ///< why what it sends is no longer listened to
};

/// Memory is limited by the guard already, which the worker inherits.
[[noreturn]] void run_worker(Session& session, const BatchInput& input, int result, int words) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_DFL);
  dup2(words, STDERR_FILENO);
  const double limit = session.options().time_limit;
  if (limit > 0 && input.kind == BatchInput::Kind::kDump) {
    // Should the guard's timer not do: twice the limit of CPU time ends the process for good.
    const auto seconds = static_cast<rlim_t>(std::ceil(std::min(limit, 1e6) * 2)) + 1;
    const rlimit cpu = {seconds, seconds};
    setrlimit(RLIMIT_CPU, &cpu);
  }
  restart_time_limit();
  int code = kExitDone;
  try {
    work(session, input, result);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "out of memory while {}: the limit of the tool was reached\n", activity());
    code = kExitInternal;
  } catch (const InputError& error) {
    fmt::print(stderr, "{}\n", error.what());
    code = kExitInput;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error while {}: {}\n", activity(), error.what());
    code = kExitInternal;
  }
  std::fflush(stderr);
  _exit(code);
}

struct Summary {
  size_t found = 0, skipped = 0, done = 0, empty = 0, failed = 0, crashes = 0, known = 0;
  std::vector<std::pair<std::string, std::string>> failures;  ///< the first ones
  std::map<std::string, size_t> new_buckets, grown_buckets;   ///< bucket -> new crashes of this run
  double seconds = 0;
};

class Batch {
 public:
  Batch(Session& session, Store& store, size_t jobs, bool again)
      : session_(session), store_(store), jobs_(jobs), again_(again), progress_("batch") {}
  ~Batch() {
    for (const auto& worker : workers_) {
      kill(worker->pid, SIGKILL);
      waitpid(worker->pid, nullptr, 0);
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
    while (next != inputs.end() || !workers_.empty()) {
      restart_time_limit();
      while (next != inputs.end() && workers_.size() < jobs_) {
        const BatchInput& input = *next++;
        if (!again_ && store_.is_done(input.file))
          ++summary_.skipped;
        else
          start(input);
      }
      listen();
      if (inputs_.size() + crashes_.size() >= kTransaction ||
          (!waiting_since_.empty() && Clock::now() - waiting_since_.front() > kLongestWait))
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
    const pid_t pid = fork();
    if (pid < 0)
      throw InputError(fmt::format("no process for a worker: {}; give fewer --jobs", std::strerror(errno)));
    if (pid == 0) run_worker(session_, input, result[1], words[1]);
    close(result[1]);
    close(words[1]);
    auto worker = std::make_unique<Worker>();
    worker->input = input;
    worker->pid = pid;
    worker->result = result[0];
    worker->words = words[0];
    worker->deadline = Clock::now() + kWallLimit;
    workers_.push_back(std::move(worker));
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
      worker.deadline = Clock::now() + kWallLimit;
      if (waiting_since_.empty()) waiting_since_.push_back(Clock::now());
      if (crashes_.size() >= kTransaction) flush();
    }
    return true;
  }

  void finish(Worker& worker) {
    int status = 0;
    while (waitpid(worker.pid, &status, 0) < 0 && errno == EINTR) continue;
    worker.pid = -1;
    pollfd more = {worker.words, POLLIN, 0};
    while (::poll(&more, 1, 0) > 0 && (more.revents & POLLIN) != 0 &&
           worker.last_words.size() < kMaxLastWords)
      take_words(worker);
    close(worker.result);
    close(worker.words);
    StoredInput input = worker.input.file;
    input.outcome = worker.crashes > 0 ? "done" : "empty";
    if (!WIFEXITED(status) || WEXITSTATUS(status) != kExitDone || !worker.broken.empty()) {
      input.outcome = "failed";
      input.why = reason_of(worker, status);
      ++summary_.failed;
      if (summary_.failures.size() < kShownFailures) summary_.failures.emplace_back(input.path, input.why);
    } else if (worker.crashes > 0) {
      ++summary_.done;
    } else {
      ++summary_.empty;
    }
    inputs_.push_back(std::move(input));
    if (waiting_since_.empty()) waiting_since_.push_back(Clock::now());
  }

  static std::string reason_of(const Worker& worker, int status) {
    if (!worker.broken.empty()) return worker.broken;
    std::string words = worker.last_words;
    while (!words.empty() && words.back() == '\n') words.pop_back();
    if (words.starts_with("perfcore: ")) words.erase(0, 10);
    if (!words.empty()) return words;
    if (WIFSIGNALED(status)) return fmt::format("the worker was ended by signal {}", WTERMSIG(status));
    return fmt::format("the worker ended with code {}", WEXITSTATUS(status));
  }

  void flush() {
    if (crashes_.empty() && inputs_.empty()) return;
    const std::vector<Added> added = store_.add(crashes_, inputs_);
    for (const Added& one : added) {
      ++summary_.crashes;
      if (one.how != Added::How::kNew) {
        ++summary_.known;
        continue;
      }
      if (one.new_bucket && !summary_.grown_buckets.contains(one.bucket)) summary_.new_buckets[one.bucket];
      const auto fresh = summary_.new_buckets.find(one.bucket);
      ++(fresh != summary_.new_buckets.end() ? fresh->second : summary_.grown_buckets[one.bucket]);
    }
    crashes_.clear();
    inputs_.clear();
    waiting_since_.clear();
  }

  Session& session_;
  Store& store_;
  size_t jobs_;
  bool again_;
  Progress progress_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<CrashRecord> crashes_;
  std::vector<StoredInput> inputs_;
  std::vector<Clock::time_point> waiting_since_;  ///< at most one
  Summary summary_;
};

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
  out.paragraph(fmt::format("{} crashes, of which {} were known.", summary.crashes, summary.known));
  const auto list = [&](std::string_view title, const std::map<std::string, size_t>& buckets) {
    if (buckets.empty()) return;
    out.heading(title);
    for (const auto& [id, count] : buckets) out.line(fmt::format("{}  +{}", id, count), 2);
  };
  list("New buckets", summary.new_buckets);
  list("Grown buckets", summary.grown_buckets);
  if (!summary.failures.empty()) out.heading("Failed");
  for (const auto& [path, why] : summary.failures) out.paragraph(fmt::format("{}: {}", path, why), 2, 2);
  if (summary.failed > summary.failures.size())
    out.paragraph(fmt::format("... and {} more", summary.failed - summary.failures.size()), 2);
  return out.text();
}

}  // namespace

int run_batch(Session& session) {
  const Options& options = session.options();
  const double jobs = options.jobs > 0 ? options.jobs : static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
  if (jobs < 1 || jobs > kMaxJobs) throw UsageError(fmt::format("--jobs takes 1 to {}", kMaxJobs));
  set_activity("looking for dumps");
  const std::vector<BatchInput> inputs = find_inputs(options.arguments);
  if (inputs.empty())
    throw InputError(
        "nothing to work on was found: neither dumps nor recordings nor console text (*.log, "
        "*.txt, *dmesg*, *.jsonl)");
  set_activity("opening the store");
  const auto store = Store::open(options.store.empty() ? Store::default_url() : options.store);
  set_activity("running a batch");
  Summary summary;
  {
    Batch batch(session, *store, static_cast<size_t>(jobs), options.again);
    summary = batch.run(inputs);
  }
  session.answer_text(options.json() ? to_json(summary) : to_text(summary, session.text_writer()));
  // Nothing at all could be used: something is wrong with the input as a whole.
  return summary.failed > 0 && summary.failed == summary.found ? kExitInput : kExitDone;
}

}  // namespace perfcore::cli
