// SPDX-License-Identifier: LGPL-2.1-or-later
#include "batch_worker.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "analyzers/registry.h"
#include "crash_record.h"
#include "exit_codes.h"
#include "guard.h"
#include "text_input.h"

namespace perfcore::cli {
namespace {

constexpr size_t kPiece = size_t{1} << 16;
constexpr size_t kMaxReports = 1024;

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

/// As cli::read_pieces(), of a whole file by its path.
template <typename Take>
void read_text(const std::string& path, Take&& take) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "re"));
  const bool read = file && read_pieces(file.get(), kPiece, [&](std::string_view piece) {
                      take(piece);
                      return true;
                    });
  if (!read) throw InputError(fmt::format("{}: {}", path, std::strerror(errno)));
}

/// The reports of one text, as they come, and the crash that they make.
class TextCrash {
 public:
  void feed(std::string_view piece) { parser_.feed(piece); }
  void send_to(int fd, const std::string& path) {
    parser_.finish();
    if (!reports_.empty()) send(fd, make_crash_record(reports_, crash_, path, identity_));
  }

 private:
  std::vector<TextReport> reports_;
  size_t crash_ = 0;  // which of the reports
  std::string identity_;
  ConsoleParser parser_{[this](ConsoleReport&& report) {
    if (reports_.size() == kMaxReports) return;
    // Of what a machine has said in its life the crash is what it panicked with: warnings at boot are not.
    if (reports_.empty() || (report.panicked && !reports_[crash_].report.panicked)) {
      crash_ = reports_.size();
      identity_ = text_identity(report);
    }
    reports_.push_back(make_text_report(std::move(report)));
  }};
};

/// \return false for a line that is no text to work on
bool work_on_line(int fd, const std::string& path, size_t number, std::string_view line) {
  const nlohmann::json input = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
  if (!input.is_object() || !input.contains("text") || !input["text"].is_string()) return false;
  std::string id = std::to_string(number);
  if (input.contains("id"))
    id = input["id"].is_string() ? input["id"].get<std::string>() : input["id"].dump();
  TextCrash crash;
  crash.feed(input["text"].get_ref<const std::string&>());
  crash.send_to(fd, fmt::format("{}#{}", path, id));
  return true;
}

/// Throws InputError after the last line if there were some that cannot be used.
void work_on_jsonl(int fd, const std::string& path) {
  size_t number = 0, lines = 0, unusable = 0;
  std::string first_unusable;
  const auto cannot_use = [&](std::string why) {
    if (unusable++ == 0) first_unusable = std::move(why);
  };
  LineReader reader(
      [&](std::string_view line) {
        ++number;
        if (line.find_first_not_of(" \t\r") == line.npos) return;
        ++lines;
        if (!work_on_line(fd, path, number, line))
          cannot_use(fmt::format("line {} is not a JSON object with a string \"text\"", number));
      },
      [&] {
        ++number;
        ++lines;
        cannot_use(fmt::format("line {} is longer than {} MiB", number, LineReader::kMaxLine >> 20));
      });
  read_text(path, [&](std::string_view piece) { reader.feed(piece); });
  reader.finish();
  if (unusable > 0)
    throw InputError(fmt::format("{} of {} lines cannot be used, the others are in the store: {}{}", unusable,
                                 lines, first_unusable, unusable > 1 ? ", ..." : ""));
}

/// \return the exit code
int work(KnownKernels& known, const BatchInput& input, int fd) {
  const std::string& path = input.file.path;
  switch (input.kind) {
    case BatchInput::Kind::kJsonl:
      work_on_jsonl(fd, path);
      break;
    case BatchInput::Kind::kText: {
      TextCrash crash;
      read_text(path, [&](std::string_view piece) { crash.feed(piece); });
      crash.send_to(fd, path);
      break;
    }
    case BatchInput::Kind::kDump: {
      // Never destroyed: the process ends, and taking all of it down would cost a tenth of the work.
      Kernel* const kernel = known.open(path).release();
      Diagnosis diagnosis(*kernel);
      const TriageReport report = make_triage_report(diagnosis, all_rules(), true);
      send(fd, make_crash_record(report, *kernel, diagnosis.log()));
      return kernel->read_own_types() ? kExitDoneAlone : kExitDone;
    }
  }
  return kExitDone;
}

}  // namespace

void KnownKernels::learn(const std::string& path) {
  auto kernel = session_.open({path}, &pages_);
  {
    Diagnosis diagnosis(*kernel);
    make_triage_report(diagnosis, all_rules(), true);
  }
  if (kernels_.size() == kMaxKernels) kernels_.erase(kernels_.begin());
  kernels_.push_back(std::move(kernel));
}

std::unique_ptr<Kernel> KnownKernels::open(const std::string& path) {
  std::vector<Kernel*> alike;
  for (const auto& kernel : kernels_) alike.push_back(kernel.get());
  pages_.freeze(true);  // this process is about to end
  return session_.open({path}, &pages_, std::move(alike));
}

[[noreturn]] void run_worker(Session& session, KnownKernels& known, const BatchInput& input, int result,
                             int words) {
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
    code = work(known, input, result);
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

}  // namespace perfcore::cli
