// SPDX-License-Identifier: GPL-2.0
/* labaux - a software PMU with an AUX area, filled from an hrtimer: stands in for hardware tracing such as Intel PT */
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/hrtimer.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/version.h>

static unsigned int chunk = 4096;	/* bytes "traced" per tick */
module_param(chunk, uint, 0644);
static unsigned int period_us = 1000;
module_param(period_us, uint, 0644);

struct labaux_buf { void **pages; int nr; bool overwrite; unsigned long size; };
struct labaux_cpu {
	struct hrtimer timer;
	struct perf_output_handle handle;
	struct perf_event *event;
	unsigned long ticks, truncated;
};
static DEFINE_PER_CPU(struct labaux_cpu, labaux_cpu);
static struct pmu labaux_pmu;

static bool labaux_begin(struct labaux_cpu *c, struct perf_event *event)
{
	if (!perf_aux_output_begin(&c->handle, event)) {
		event->hw.state = PERF_HES_STOPPED;
		return false;
	}
	return true;
}

static enum hrtimer_restart labaux_tick(struct hrtimer *t)
{
	struct labaux_cpu *c = container_of(t, struct labaux_cpu, timer);
	struct perf_event *event = c->event;
	struct labaux_buf *buf;
	unsigned long n, i, pos;

	if (!event || event->hw.state)
		return HRTIMER_NORESTART;
	c->ticks++;
	buf = perf_get_aux(&c->handle);
	if (!buf)
		return HRTIMER_NORESTART;
	n = min_t(unsigned long, chunk, c->handle.size);
	for (i = 0; i < n; i += 64) {
		pos = (c->handle.head + i) % buf->size;
		*(u64 *)(buf->pages[pos >> PAGE_SHIFT] + (pos & ~PAGE_MASK & ~7UL)) = 0x6c61626175780000ULL + c->ticks;
	}
	if (n < chunk) {	/* no room for all of it: as the PT driver does */
		perf_aux_output_flag(&c->handle, PERF_AUX_FLAG_TRUNCATED);
		c->truncated++;
	}
	perf_aux_output_end(&c->handle, n);
	if (!labaux_begin(c, event))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(t, ns_to_ktime(period_us * 1000ULL));
	return HRTIMER_RESTART;
}

static void labaux_start(struct perf_event *event, int flags)
{
	struct labaux_cpu *c = this_cpu_ptr(&labaux_cpu);

	if (!labaux_begin(c, event))
		return;
	event->hw.state = 0;
	c->event = event;
	hrtimer_start(&c->timer, ns_to_ktime(period_us * 1000ULL), HRTIMER_MODE_REL_PINNED_HARD);
}

static void labaux_stop(struct perf_event *event, int flags)
{
	struct labaux_cpu *c = this_cpu_ptr(&labaux_cpu);

	if (event->hw.state == PERF_HES_STOPPED)
		return;
	event->hw.state = PERF_HES_STOPPED;
	hrtimer_cancel(&c->timer);
	if (c->handle.event)
		perf_aux_output_end(&c->handle, 0);
	c->event = NULL;
}

static int labaux_add(struct perf_event *event, int flags)
{
	event->hw.state = PERF_HES_STOPPED;
	if (flags & PERF_EF_START) {
		labaux_start(event, 0);
		if (event->hw.state == PERF_HES_STOPPED)
			return -EINVAL;
	}
	return 0;
}
static void labaux_del(struct perf_event *event, int flags) { labaux_stop(event, PERF_EF_UPDATE); }
static void labaux_read(struct perf_event *event) { }
static int labaux_event_init(struct perf_event *event)
{
	return event->attr.type == labaux_pmu.type ? 0 : -ENOENT;
}
static void *labaux_setup(struct perf_event *event, void **pages, int nr, bool overwrite)
{
	struct labaux_buf *b = kzalloc(sizeof(*b), GFP_KERNEL);

	if (b) {
		b->pages = pages; b->nr = nr; b->overwrite = overwrite;
		b->size = (unsigned long)nr << PAGE_SHIFT;
	}
	return b;
}
static void labaux_free(void *b) { kfree(b); }

static struct pmu labaux_pmu = {
	.module		= THIS_MODULE,
	.task_ctx_nr	= perf_sw_context,
	.capabilities	= PERF_PMU_CAP_EXCLUSIVE | PERF_PMU_CAP_ITRACE,
	.event_init	= labaux_event_init,
	.add = labaux_add, .del = labaux_del, .start = labaux_start, .stop = labaux_stop, .read = labaux_read,
	.setup_aux = labaux_setup, .free_aux = labaux_free,
};

static int __init labaux_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct labaux_cpu *c = per_cpu_ptr(&labaux_cpu, cpu);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
		hrtimer_setup(&c->timer, labaux_tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
#else
		hrtimer_init(&c->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
		c->timer.function = labaux_tick;
#endif
	}
	return perf_pmu_register(&labaux_pmu, "labaux", -1);
}
static void __exit labaux_exit(void) { perf_pmu_unregister(&labaux_pmu); }
module_init(labaux_init);
module_exit(labaux_exit);
MODULE_DESCRIPTION("crash-lab AUX PMU");
MODULE_LICENSE("GPL");
