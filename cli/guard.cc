// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "exit_codes.h"

namespace perfcore::cli {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::atomic<const char*> current_activity = "starting";
itimerval time_limit = {};
// The stack may be what is broken, so that the handlers run on their own.
std::array<char, 32 * 1024> signal_stack;

/// Async-signal-safe.
void say(const char* text) {
  size_t left = strlen(text);
  while (left > 0) {
    const ssize_t written = write(STDERR_FILENO, text, left);
    if (written <= 0) return;
    text += written;
    left -= static_cast<size_t>(written);
  }
}

const char* name_of(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "invalid memory access, SIGSEGV";
    case SIGBUS:
      return "a mapped file ended or could not be read, SIGBUS";
    case SIGFPE:
      return "arithmetic fault, SIGFPE";
    case SIGILL:
      return "illegal instruction, SIGILL";
    default:
      return "aborted, SIGABRT";
  }
}

void on_crash(int signal) {
  say("perfcore: internal error (");
  say(name_of(signal));
  say(") while ");
  say(current_activity.load());
  say("; there is no answer. This is a bug in perfcore: please report it with this line and the dump.\n");
  _exit(kExitInternal);
}

void on_time_limit(int) {
  say("perfcore: stopped: the limit of CPU time was reached while ");
  say(current_activity.load());
  say(". The input may be damaged; --time-limit SECONDS allows more time (0: no limit).\n");
  _exit(kExitInternal);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK | SA_RESETHAND;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void set_activity(const char* what) {
  current_activity = what;
}
const char* activity() {
  return current_activity;
}

void restart_time_limit() {
  if (time_limit.it_value.tv_sec != 0 || time_limit.it_value.tv_usec != 0)
    setitimer(ITIMER_PROF, &time_limit, nullptr);
}

void install_guard(const Limits& limits) {
  stack_t stack = {};
  stack.ss_sp = signal_stack.data();
  stack.ss_size = signal_stack.size();
  sigaltstack(&stack, nullptr);
  if (!kSanitized) {
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) handle(signal, on_crash);
    const rlimit heap = {limits.heap_bytes, limits.heap_bytes};
    setrlimit(RLIMIT_DATA, &heap);
  }
  // A limit of file sizes is then an error of write(), which is said in words.
  signal(SIGXFSZ, SIG_IGN);
  if (limits.cpu_seconds > 0) {
    const double seconds = std::min(limits.cpu_seconds, 1e6);
    time_limit.it_value.tv_sec = static_cast<time_t>(seconds);
    time_limit.it_value.tv_usec = static_cast<suseconds_t>(std::fmod(seconds, 1.0) * 1e6);
    handle(SIGPROF, on_time_limit);
    restart_time_limit();
  }
}

}  // namespace perfcore::cli
