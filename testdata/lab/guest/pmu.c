// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pmu - opens perf events as its arguments say, in order, and keeps them:
 *
 *   cpu:N              runs on CPU N from here on
 *   fork               the rest of the line in a child; the parent waits
 *   ev:WHAT[,OPT...]   opens an event. WHAT: cycles instr cmiss cref br brmiss, or pmu=NAME for a PMU of sysfs.
 *                      OPT: cpu=N (per-CPU event), oncpu=N (this task, only there), period=N, freq=N, pinned,
 *                      leader (of the group that follows), group (joins it), mmap (with a ring buffer)
 *   loop               spins for ever
 *   pause              sleeps for ever
 *   shift:CPU          for ever: opens A (per-CPU, counting) and B (per-CPU, sampling), closes A, opens C (task) so
 *                      that B moves to A's counter, possibly while it is throttled
 *   shiftg:CPU         the same with B a group of two sampling events
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int leader = -1;

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void spin(int ms)
{
	long long end = now_ms() + ms;

	while (now_ms() < end)
		;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("sched_setaffinity");
}

static unsigned int pmu_type(const char *name)
{
	char path[256];
	unsigned int type = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", name);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%u", &type) != 1) {
		printf("pmu: no PMU %s\n", name);
		exit(1);
	}
	fclose(file);
	return type;
}

static int open_event(const char *spec)
{
	static const struct { const char *name; unsigned int config; } hardware[] = {
		{ "cycles", PERF_COUNT_HW_CPU_CYCLES },
		{ "instr", PERF_COUNT_HW_INSTRUCTIONS },
		{ "cmiss", PERF_COUNT_HW_CACHE_MISSES },
		{ "cref", PERF_COUNT_HW_CACHE_REFERENCES },
		{ "br", PERF_COUNT_HW_BRANCH_INSTRUCTIONS },
		{ "brmiss", PERF_COUNT_HW_BRANCH_MISSES },
	};
	struct perf_event_attr attr = { .size = sizeof(attr) };
	int pid = 0, cpu = -1, group = -1, leads = 0, buffer = 0, fd;
	char text[256], *part, *rest;
	unsigned int i;

	attr.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME;
	attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
	snprintf(text, sizeof(text), "%s", spec);
	for (part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		for (i = 0; i < sizeof(hardware) / sizeof(hardware[0]); i++)
			if (!strcmp(part, hardware[i].name))
				break;
		if (i < sizeof(hardware) / sizeof(hardware[0]))
			attr.config = hardware[i].config;
		else if (!strncmp(part, "pmu=", 4))
			attr.type = pmu_type(part + 4);
		else if (!strncmp(part, "cpu=", 4)) {
			cpu = atoi(part + 4);
			pid = -1;
		} else if (!strncmp(part, "oncpu=", 6))
			cpu = atoi(part + 6);
		else if (!strncmp(part, "period=", 7))
			attr.sample_period = strtoull(part + 7, NULL, 0);
		else if (!strncmp(part, "freq=", 5)) {
			attr.freq = 1;
			attr.sample_freq = strtoull(part + 5, NULL, 0);
		} else if (!strcmp(part, "pinned"))
			attr.pinned = 1;
		else if (!strcmp(part, "leader"))
			leads = 1;
		else if (!strcmp(part, "group"))
			group = leader;
		else if (!strcmp(part, "mmap"))
			buffer = 1;
		else {
			printf("pmu: unknown option %s\n", part);
			exit(1);
		}
	}
	fd = syscall(__NR_perf_event_open, &attr, pid, cpu, group, 0);
	if (fd < 0) {
		printf("pmu: perf_event_open(%s): %s\n", spec, strerror(errno));
		return -1;
	}
	if (leads)
		leader = fd;
	if (buffer && mmap(NULL, 4096 * 9, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
		perror("pmu: mmap");
	return fd;
}

static void shift(int cpu, int group)
{
	char a[64], b[64], sibling[64], c[64];

	snprintf(a, sizeof(a), "instr,cpu=%d", cpu);
	snprintf(b, sizeof(b), "cycles,cpu=%d,period=100003%s", cpu, group ? ",leader" : "");
	snprintf(sibling, sizeof(sibling), "cref,cpu=%d,period=100003,group", cpu);
	snprintf(c, sizeof(c), "br,oncpu=%d", cpu);
	for (;;) {
		int fd_a = open_event(a), fd_b = open_event(b), fd_sibling = group ? open_event(sibling) : -1, fd_c;

		spin(3); /* NMIs arrive: B overflows, is throttled */
		close(fd_a);
		fd_c = open_event(c); /* everything is assigned anew: B moves */
		getppid(); /* where a debugger may wait for this moment */
		spin(12); /* a tick unthrottles B */
		close(fd_c);
		if (group)
			close(fd_sibling);
		close(fd_b);
	}
}

int main(int argc, char **argv)
{
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 1; i < argc; i++) {
		const char *command = argv[i];

		if (!strncmp(command, "cpu:", 4))
			run_on(atoi(command + 4));
		else if (!strcmp(command, "fork")) {
			if (fork())
				pause();
		} else if (!strncmp(command, "ev:", 3))
			open_event(command + 3);
		else if (!strcmp(command, "loop")) {
			for (volatile unsigned long n = 0;; n++)
				;
		} else if (!strcmp(command, "pause")) {
			for (;;)
				pause();
		} else if (!strncmp(command, "shift:", 6))
			shift(atoi(command + 6), 0);
		else if (!strncmp(command, "shiftg:", 7))
			shift(atoi(command + 7), 1);
		else
			printf("pmu: unknown command %s\n", command);
	}
	return 0;
}
