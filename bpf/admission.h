/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * May this client open a connection now? By lists of clients' prefixes, by the connections
 * that it and the service have, and by how many begin in a second. Asked of new
 * connections only, and only for services that say so.
 */
#ifndef XLVS_ADMISSION_H
#define XLVS_ADMISSION_H

#include "counted.h"
#include "packet.h"
#include "table.h"

/* Each retry means that another CPU took a token. */
#define BUCKET_RETRIES 16
/* How often a packet looks again that was overtaken by a change of the lists. */
#define ADMISSION_ATTEMPTS 2

enum bucket {
	BUCKET_TAKEN,
	BUCKET_EMPTY,
	BUCKET_CONTENDED,
};

/*
 * One token of a bucket that `rate` tokens flow into per second and that holds `burst`.
 * Without one nothing is written: a flood that is refused costs other CPUs nothing.
 */
static __noinline int bucket_take(__u64 *word, __u32 rate, __u32 burst, __u32 now, __u32 hz)
{
	__u64 was, credit, most = (__u64)burst * hz;
	__u32 at, idle;

#pragma clang loop unroll(disable)
	for (int i = 0; i < BUCKET_RETRIES; i++) {
		was = READ_ONCE(*word);
		at = now;
		idle = now - (__u32)(was >> 32);
		/* Another CPU's packet, which read the clock later, may have been first. */
		if ((__s32)idle < 0 && -idle < hz) {
			at -= idle;
			idle = 0;
		}
		credit = (__u32)was + (__u64)idle * rate;
		if (!was || credit > most)
			credit = most;
		if (credit < hz)
			return BUCKET_EMPTY;
		credit = (__u64)at << 32 | (credit - hz);
		/* Not what stands for a full one: a part of a token more, once in 2^32 ticks. */
		if (__sync_val_compare_and_swap(word, was, credit ? credit : 1) == was)
			return BUCKET_TAKEN;
	}
	return BUCKET_CONTENDED;
}

/* The longest prefix of a set that the client is in, plus 1; 0: none. */
static __always_inline __u32 admission_longest(const struct packet *p, __u64 set)
{
	struct xlvs_client_prefix key = {
		.prefixlen = XLVS_CLIENT_SET_BITS + 8 * sizeof(key.address),
		/* Or ::/0 were everybody's, for IPv4 addresses are written as ::ffff:a.b.c.d. */
		.set = { (__u32)set | (p->family != AF_INET), set >> 32 },
		.address = p->tuple.src,
	};
	__u32 *found = bpf_map_lookup_elem(&client_prefixes, &key);

	return found ? *found : 0;
}

/* The longest prefix that names the client decides; of two as long the one that denies. */
static __noinline int admission_by_lists(const struct packet *p, const struct xlvs_admission *a)
{
	__u32 denied = 0, allowed = 0, found;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < XLVS_ADMISSION_LISTS; i++) {
		if (i >= a->denies + a->allows)
			break;
		found = admission_longest(p, a->list[i]);
		if (i < a->denies)
			denied = found > denied ? found : denied;
		else
			allowed = found > allowed ? found : allowed;
	}
	if (denied && denied >= allowed)
		return XLVS_REASON_DROP_DENIED;
	return a->allows && !allowed ? XLVS_REASON_DROP_NOT_ALLOWED : XLVS_REASON_NONE;
}

/* One connection more of this client, if it has fewer than `most`. */
static __noinline int client_enter(const struct xlvs_client *c, __u32 most)
{
	__u32 *count, was, one = 1;

#pragma clang loop unroll(disable)
	for (int i = 0; i < CLIENT_RETRIES; i++) {
		count = bpf_map_lookup_elem(&clients, c);
		if (!count) {
			if (!bpf_map_update_elem(&clients, c, &one, BPF_NOEXIST))
				return XLVS_REASON_NONE;
			continue;
		}
		was = READ_ONCE(*count);
		if (was == CLIENT_GONE)
			continue;
		if (was >= most)
			return XLVS_REASON_DROP_CLIENT_CONNECTIONS;
		if (__sync_val_compare_and_swap(count, was, was + 1) != was)
			continue;
		if (likely(bpf_map_lookup_elem(&clients, c) == count))
			return XLVS_REASON_NONE;
		__sync_fetch_and_add(count, -1); /* another client's by now, see counted.h */
	}
	return XLVS_REASON_DROP_CONTENDED;
}

static __always_inline int bucket_reason(int rc, int empty)
{
	if (likely(rc == BUCKET_TAKEN))
		return XLVS_REASON_NONE;
	return rc == BUCKET_EMPTY ? empty : XLVS_REASON_DROP_CONTENDED;
}

static __noinline int admission_client(struct packet *p, const struct xlvs_admission *a, __u32 hz)
{
	/* On the stack: kernel 6.1 takes no key from where a global function was pointed to. */
	struct xlvs_client mine = p->client;
	__u64 *bucket, full = 0;
	int why;

	if (a->client_connections) {
		why = client_enter(&mine, a->client_connections);
		if (why)
			return why;
		p->admitted = XLVS_COUNTS_CLIENT;
	}
	if (!a->client_rate)
		return XLVS_REASON_NONE;
	bucket = bpf_map_lookup_elem(&client_rates, &mine);
	if (!bucket) {
		bpf_map_update_elem(&client_rates, &mine, &full, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&client_rates, &mine);
	}
	if (!bucket)
		return XLVS_REASON_DROP_CONTENDED;
	return bucket_reason(bucket_take(bucket, a->client_rate, a->client_burst, p->now, hz),
			     XLVS_REASON_DROP_CLIENT_RATE);
}

static __noinline int admission_service(struct packet *p, const struct xlvs_admission *a, __u32 hz)
{
	__u32 id = p->client.service;
	struct xlvs_admitted *s = bpf_map_lookup_elem(&admitted, &id);

	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	if (a->service_connections) {
		if (__sync_fetch_and_add(&s->connections, 1) >= a->service_connections) {
			__sync_fetch_and_add(&s->connections, -1);
			return XLVS_REASON_DROP_SERVICE_CONNECTIONS;
		}
		p->admitted |= XLVS_COUNTS_SERVICE;
	}
	if (!a->service_rate)
		return XLVS_REASON_NONE;
	return bucket_reason(bucket_take(&s->bucket, a->service_rate, a->service_burst, p->now, hz),
			     XLVS_REASON_DROP_SERVICE_RATE);
}

/*
 * What admission() has counted for the packet is its connection's from now on, if there is
 * one; else it is given back. `why`: connection_open()'s.
 */
subprogram int admission_settle(struct packet *p, int why)
{
	struct xlvs_counted mine;
	struct xlvs_tenant tenant;
	struct xlvs_entry *e;

	if (!p)
		return 0;
	mine.client = p->client;
	mine.counts = p->admitted;
	p->admitted = 0;
	if (!why && p->opened && !p->one_packet) {
		tenant = tenant_of(p->family != AF_INET, p->c.at, p->c.word);
		e = entry_get(p->family != AF_INET, p->c.at);
		if (e && !bpf_map_update_elem(&counted, &tenant, &mine, BPF_ANY)) {
			/*
			 * Another CPU may have ended it before the record was there. Read by an
			 * atomic operation: a plain load could be done before the update.
			 */
			if (likely(word_same(p->c.word, __sync_fetch_and_or(&e->word, 0))))
				return 0;
			if (bpf_map_delete_elem(&counted, &tenant))
				return 0; /* that CPU has seen it, and counted */
		}
	}
	counted_less(&mine);
	return 0;
}

/* Of a service, so that whoever is refused can be told from others. */
static __always_inline void admission_count(__u32 id, int why)
{
	struct xlvs_arrivals *arrived = bpf_map_lookup_elem(&arrivals, &id);
	struct xlvs_refusals *r;

	if (!arrived)
		return;
	r = &arrived->refused;
	switch (why) {
	case XLVS_REASON_DROP_DENIED:
		r->denied++;
		break;
	case XLVS_REASON_DROP_NOT_ALLOWED:
		r->not_allowed++;
		break;
	case XLVS_REASON_DROP_CLIENT_CONNECTIONS:
		r->client_connections++;
		break;
	case XLVS_REASON_DROP_CLIENT_RATE:
		r->client_rate++;
		break;
	case XLVS_REASON_DROP_SERVICE_CONNECTIONS:
		r->service_connections++;
		break;
	case XLVS_REASON_DROP_SERVICE_RATE:
		r->service_rate++;
		break;
	}
}

/* What the lists alone say of the packet's client. XLVS_REASON_NONE, and p->listed; or why not. */
subprogram int admission_listed(struct packet *p, __u32 id)
{
	struct xlvs_service *service = bpf_map_lookup_elem(&services, &id);
	struct xlvs_admission *a;
	int why = XLVS_REASON_NONE;
	__u32 flags, slot;

	if (!p || !service)
		return XLVS_REASON_DROP_INTERNAL;
#pragma clang loop unroll(disable)
	for (int i = 0; i < ADMISSION_ATTEMPTS; i++) {
		flags = READ_ONCE(service->flags);
		slot = 2 * id + !!(flags & XLVS_SERVICE_ADMISSION_OTHER);
		a = bpf_map_lookup_elem(&admissions, &slot);
		if (!a)
			return XLVS_REASON_DROP_INTERNAL;
		why = a->denies + a->allows ? admission_by_lists(p, a) : XLVS_REASON_NONE;
		/* Else a set may have been deleted before it was looked at. */
		if (likely(READ_ONCE(service->flags) == flags))
			break;
	}
	if (unlikely(why))
		admission_count(id, why);
	else
		p->listed = 1;
	return why;
}

/*
 * May the packet open a connection of the service? XLVS_REASON_NONE, and then
 * admission_settle() has to follow if p->admitted; or why not.
 *
 * What counts a client comes first: one that is over its limit takes nothing of what all
 * share.
 */
subprogram int admission(struct packet *p, __u32 id)
{
	struct xlvs_service *service = bpf_map_lookup_elem(&services, &id);
	struct xlvs_geometry *g = geometry_get();
	struct xlvs_admission *a;
	__u32 slot;
	int why;

	if (!p || !service || !g)
		return XLVS_REASON_DROP_INTERNAL;
	why = p->listed ? XLVS_REASON_NONE : admission_listed(p, id);
	if (why)
		return why;
	slot = 2 * id + !!(READ_ONCE(service->flags) & XLVS_SERVICE_ADMISSION_OTHER);
	a = bpf_map_lookup_elem(&admissions, &slot);
	if (!a)
		return XLVS_REASON_DROP_INTERNAL;
	p->client.service = id;
	for (int i = 0; i < 4; i++)
		p->client.address.word[i] = p->tuple.src.word[i] & a->client.word[i];
	why = admission_client(p, a, g->hz);
	if (!why && (a->service_connections || a->service_rate))
		why = admission_service(p, a, g->hz);
	if (unlikely(why && p->admitted))
		admission_settle(p, why);
	if (unlikely(why))
		admission_count(id, why);
	return why;
}

#endif
