// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fork_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "batch_worker.h"
#include "exit_codes.h"
#include "guard.h"

namespace perfcore::cli {
namespace {

enum Request : int { kStart, kWait, kLearn };

/// One datagram, with the pipes of a worker as file descriptors beside it (SCM_RIGHTS, unix(7)).
struct Message {
  int request = 0;
  int argument = 0;  ///< kStart: BatchInput::Kind; kWait: the process
  std::array<char, PATH_MAX> path = {};
};

constexpr size_t kPipes = 2;

struct Envelope {
  explicit Envelope(Message* message) : part{message, sizeof *message} {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }

  msghdr header = {};
  iovec part;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kPipes * sizeof(int))> control = {};
};

template <typename Call>
ssize_t retried(Call&& call) {
  ssize_t result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

/// \return whether there is a message; none comes when the caller has ended
bool receive(int socket, Message* message, std::array<int, kPipes>* pipes) {
  Envelope envelope(message);
  const auto got = retried([&] { return recvmsg(socket, &envelope.header, MSG_CMSG_CLOEXEC); });
  if (got != static_cast<ssize_t>(sizeof *message)) return false;
  message->path.back() = '\0';
  pipes->fill(-1);
  const cmsghdr* rights = CMSG_FIRSTHDR(&envelope.header);
  if (rights && rights->cmsg_type == SCM_RIGHTS && rights->cmsg_len == CMSG_LEN(sizeof *pipes))
    std::memcpy(pipes->data(), CMSG_DATA(rights), sizeof *pipes);
  return true;
}

/// What the server does until the caller ends or a dump is too much for it.
[[noreturn]] void serve(Session& session, int socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // What it has to say of a dump, a worker has said before.
  if (const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC); nothing >= 0) dup2(nothing, STDERR_FILENO);
  KnownKernels known(session);
  Message message;
  std::array<int, kPipes> pipes;
  while (receive(socket, &message, &pipes)) {
    restart_time_limit();
    int answer = 0;
    if (message.request == kStart) {
      BatchInput input;
      input.kind = static_cast<BatchInput::Kind>(message.argument);
      input.file.path = message.path.data();
      answer = fork();
      if (answer == 0) {
        close(socket);
        run_worker(session, known, input, pipes[0], pipes[1]);
      }
      if (answer < 0) answer = -errno;
      for (const int pipe : pipes) close(pipe);
    } else if (message.request == kWait) {
      retried([&] { return waitpid(message.argument, &answer, 0); });
    } else {
      try {
        known.learn(message.path.data());
      } catch (const std::exception&) {
        answer = -1;  // such dumps are then read each on its own
      }
    }
    if (retried([&] { return send(socket, &answer, sizeof answer, MSG_NOSIGNAL); }) < 0) break;
  }
  _exit(kExitDone);
}

}  // namespace

ForkServer::ForkServer(Session& session) : session_(session) {
  begin();
}

ForkServer::~ForkServer() {
  end();
}

void ForkServer::begin() {
  std::array<int, 2> ends = {};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw InputError(fmt::format("no socket for the workers' server: {}", std::strerror(errno)));
  server_ = fork();
  if (server_ == 0) {
    close(ends[0]);
    serve(session_, ends[1]);
  }
  close(ends[1]);
  socket_ = ends[0];
  if (server_ < 0) {
    close(socket_);
    throw InputError(fmt::format("no process for the workers' server: {}", std::strerror(errno)));
  }
}

void ForkServer::end() {
  close(socket_);
  kill(server_, SIGKILL);
  retried([&] { return waitpid(server_, nullptr, 0); });
}

void ForkServer::restart() {
  end();
  begin();
}

int ForkServer::ask(int request, int argument, const std::string& path, int result, int words) {
  Message message;
  message.request = request;
  message.argument = argument;
  if (path.size() >= message.path.size())
    throw InputError(
        fmt::format("a path of {} bytes is longer than Linux allows ({})", path.size(), PATH_MAX));
  std::memcpy(message.path.data(), path.data(), path.size());
  Envelope envelope(&message);
  if (result >= 0) {
    cmsghdr* rights = CMSG_FIRSTHDR(&envelope.header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(kPipes * sizeof(int));
    const std::array<int, kPipes> pipes = {result, words};
    std::memcpy(CMSG_DATA(rights), pipes.data(), sizeof pipes);
  } else {
    envelope.header.msg_controllen = 0;
  }
  int answer = 0;
  if (retried([&] { return sendmsg(socket_, &envelope.header, MSG_NOSIGNAL); }) < 0 ||
      retried([&] { return recv(socket_, &answer, sizeof answer, 0); }) !=
          static_cast<ssize_t>(sizeof answer))
    throw ForkServerEnded("the process that starts the workers has ended");
  return answer;
}

pid_t ForkServer::start(const BatchInput& input, int result, int words) {
  const int answer = ask(kStart, static_cast<int>(input.kind), input.file.path, result, words);
  if (answer < 0)
    throw InputError(fmt::format("no process for a worker: {}; give fewer --jobs", std::strerror(-answer)));
  return answer;
}

int ForkServer::wait(pid_t worker) {
  return ask(kWait, worker, "");
}

void ForkServer::learn(const std::string& path) {
  ask(kLearn, 0, path);
}

}  // namespace perfcore::cli
