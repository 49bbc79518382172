// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * auxtrace CPU AUX_PAGES BUSY_MS SLEEP_MS DRAIN_MS - a tracer and the task that it traces, with the labaux PMU.
 *
 * The task runs on CPU, busy for BUSY_MS, asleep for SLEEP_MS (0: never). The tracer sleeps in poll() without a timeout;
 * when woken it takes DRAIN_MS to look at the data, gives the AUX area back and enables the event again.
 */
#define _GNU_SOURCE
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096L
#define DATA_PAGES 8

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void be_traced(int cpu, int busy, int asleep)
{
	cpu_set_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "aux-traced");
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	usleep(50000);
	for (;;) {
		long long end = now_ms() + busy;

		while (now_ms() < end)
			;
		if (asleep)
			usleep(asleep * 1000);
	}
}

static unsigned int labaux_type(void)
{
	FILE *file = fopen("/sys/bus/event_source/devices/labaux/type", "r");
	unsigned int type;

	if (!file || fscanf(file, "%u", &type) != 1) {
		printf("auxtrace: no labaux\n");
		exit(1);
	}
	fclose(file);
	return type;
}

int main(int argc, char **argv)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .disabled = 1, .sample_period = 1 };
	struct perf_event_mmap_page *page;
	unsigned long rounds = 0;
	long aux_size;
	pid_t child;
	int fd;

	if (argc != 6)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	attr.type = labaux_type();
	attr.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME;
	child = fork();
	if (!child)
		be_traced(atoi(argv[1]), atoi(argv[3]), atoi(argv[4]));
	prctl(PR_SET_NAME, "aux-tracer");
	fd = syscall(__NR_perf_event_open, &attr, child, -1, -1, 0);
	if (fd < 0) {
		perror("auxtrace: perf_event_open");
		return 1;
	}
	page = mmap(NULL, (DATA_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		perror("auxtrace: mmap");
		return 1;
	}
	aux_size = atoi(argv[2]) * PAGE;
	page->aux_offset = (DATA_PAGES + 1) * PAGE;
	page->aux_size = aux_size;
	if (mmap(NULL, aux_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page->aux_offset) == MAP_FAILED) {
		perror("auxtrace: mmap of the AUX area");
		return 1;
	}
	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	printf("auxtrace: tracer %d traced %d\n", getpid(), child);
	for (;;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };

		if (poll(&wait, 1, -1) < 0)
			return 1;
		usleep(atoi(argv[5]) * 1000);
		page->data_tail = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
		__atomic_store_n(&page->aux_tail, __atomic_load_n(&page->aux_head, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
		ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
		printf("auxtrace: round %lu\n", ++rounds);
	}
}
