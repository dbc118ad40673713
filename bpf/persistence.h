/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Persistence (ipvsadm -p): a template remembers which server a client got, and leads its
 * next connections there. It is an entry of the connection table that no packet is of:
 *
 *   service of one port   protocol, client & mask, VIP, port
 *   of port 0, of FTP     protocol, client & mask, VIP, 0
 *   of a mark             any protocol, client & mask, the mark as an address, 0
 *
 * With --pe sip the Call-ID belongs to the key. A template's time runs from the last
 * connection that was opened under it; while one lives the template stays, for a minute at
 * a time. (IPVS's rules, from its recorded stories.)
 */
#ifndef XLVS_PERSISTENCE_H
#define XLVS_PERSISTENCE_H

#include "call_id.h"
#include "stages/4_schedule.h"
#include "template.h"

/* Beside SCHEDULE_*: why there is no destination. */
#define PERSISTENCE_FULL (-3)
#define PERSISTENCE_NO_CALL_ID (-4)

struct template_walk {
	const struct packet *t;
	__u32 line;
	__u32 found_at; /* PLACE_NONE: not yet */
};

static __always_inline long template_look(struct template_walk *w, bool v6, __u32 i)
{
	const __u32 ways = v6 ? XLVS_WAYS6 : XLVS_WAYS4;
	__u32 line = w->line + i / ways, at = line * ways + i % ways;
	struct xlvs_entry *e = entry_get(v6, at);
	bool same_client;
	__u32 *passed, word;

	if (!e)
		return 1;
	word = READ_ONCE(e->word);
	if (word & XLVS_CONNECTION_LIVE && !((word ^ w->t->c.word) & WORD_PROTOCOL) &&
	    word_state(word) == XLVS_STATE_NONE && open_key_is(w->t, v6, e, &same_client)) {
		w->found_at = at;
		return 1;
	}
	if (i % ways < ways - 1)
		return 0;
	passed = passed_get(v6, line);
	return !passed || !READ_ONCE(*passed);
}

static long template_look4(__u32 i, void *data)
{
	return template_look(data, false, i);
}

static long template_look6(__u32 i, void *data)
{
	return template_look(data, true, i);
}

/* May the template choose a server for new connections? */
static __always_inline bool template_serves(__u32 destination, const struct xlvs_settings *s)
{
	struct xlvs_destination *d = destination_get(destination);

	return d && d->flags & XLVS_DESTINATION_AVAILABLE &&
	       !(s->expire_quiescent_template && !d->weight);
}

/*
 * Finds the template with t's tuple, of the protocol in t->c.word: fills t->c. `only`: the
 * destination that it has to be to, -1: any.
 */
static __noinline bool template_find(struct packet *t, struct xlvs_settings *s, __u64 call_id,
				     __s32 only)
{
	struct xlvs_geometry *g = geometry_get();
	struct template_walk w = { .t = t, .found_at = PLACE_NONE };
	bool v6 = t->family != AF_INET;
	struct xlvs_template *state;
	struct xlvs_entry *e;
	__u32 word;

	if (!g)
		return false;
	w.line = place_of_client(g, v6, &t->tuple.src, t->tuple.sport);
	if (v6)
		bpf_loop(XLVS_CHAIN * XLVS_WAYS6, template_look6, &w, 0);
	else
		bpf_loop(XLVS_CHAIN * XLVS_WAYS4, template_look4, &w, 0);
	if (w.found_at == PLACE_NONE) {
		note(TEMPLATE, XLVS_NOTE_TEMPLATE_NONE, 0, 0);
		return false;
	}
	e = entry_get(v6, w.found_at);
	if (!e)
		return false;
	word = READ_ONCE(e->word);
	if (!(word & XLVS_CONNECTION_LIVE) || (word ^ t->c.word) & WORD_PROTOCOL ||
	    !entry_copy(e, word, w.found_at, &t->c))
		return false;
	state = template_of(t, t->c.expires - t->now, call_id);
	if (!state || state->call_id != call_id)
		return false;
	if (clock_over(t->now, t->c.expires) && !template_stays(state, e, t->now)) {
		note(TEMPLATE, XLVS_NOTE_TEMPLATE_OVER, t->c.destination, w.found_at);
		return false;
	}
	if (template_serves(t->c.destination, s) && (only < 0 || t->c.destination == (__u32)only)) {
		note(TEMPLATE, XLVS_NOTE_TEMPLATE_FOUND, t->c.destination, w.found_at);
		return true;
	}
	note(TEMPLATE, XLVS_NOTE_TEMPLATE_ABANDONED, t->c.destination, w.found_at);
	/* Abandoned: it stays until its time is over, and no packet finds it. */
	__sync_val_compare_and_swap(&e->word, word,
				    (word & ~XLVS_CONNECTION_STATE) | XLVS_STATE_ABANDONED);
	return false;
}

/* t becomes the key of the packet's template. */
static __noinline void template_key(struct packet *t, const struct packet *p,
				    const struct xlvs_service *service, __u64 call_id)
{
	__u32 protocol = word_of_protocol(p->tuple.protocol);
	__u32 mark = service->key.fwmark;

	t->family = p->family;
	t->protocol = p->protocol;
	t->now = p->now;
	t->hz = p->hz;
	for (int i = 0; i < 4; i++)
		t->tuple.src.word[i] = p->tuple.src.word[i] & service->mask.word[i];
	/* Never shown; it tells a client's Call-IDs apart. */
	t->tuple.sport = call_id ? (__be16)call_id | 1 : 0;
	t->tuple.dst = p->tuple.dst;
	t->tuple.dport = 0;
	if (mark) {
		protocol = XLVS_PROTOCOL_IP << XLVS_CONNECTION_PROTOCOL_SHIFT;
		if (p->family == AF_INET) {
			address_from_v4(&t->tuple.dst, bpf_htonl(mark));
		} else {
			t->tuple.dst.word[0] = bpf_htonl(mark);
			t->tuple.dst.word[1] = t->tuple.dst.word[2] = t->tuple.dst.word[3] = 0;
		}
	} else if (service->key.port == p->tuple.dport &&
		   service->key.port != bpf_htons(FTP_PORT)) {
		t->tuple.dport = p->tuple.dport;
	}
	/* By DR: nothing of NAT's or FULLNAT's is to be kept for it. */
	t->c.word = protocol | WORD_TEMPLATE | XLVS_STATE_NONE |
		    XLVS_METHOD_DR << XLVS_CONNECTION_METHOD_SHIFT;
}

/* Opens t as a template to the destination. */
static __noinline int template_open(struct packet *t, __u32 destination, __u32 timeout,
				    __u64 call_id)
{
	int rc;

	t->c.destination = destination;
	t->c.expires = t->now + timeout;
	t->c.extra = 0;
	rc = table_open(t, t->family != AF_INET);
	if (rc != TABLE_OPENED && rc != TABLE_EXISTS)
		return PERSISTENCE_FULL;
	if (!template_of(t, timeout, call_id))
		return PERSISTENCE_FULL;
	if (call_id && rc == TABLE_OPENED)
		call_id_keep(tenant_of(t->family != AF_INET, t->c.at, t->c.word));
	return t->c.destination;
}

/*
 * The destination of a new connection of a persistent service, or SCHEDULE_* or
 * PERSISTENCE_*. Its template becomes packet_template(). `only`: it is to be this one,
 * -1: the template or the scheduler says.
 */
subprogram int persistence_schedule(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s,
				    __u32 id, __s32 only)
{
	struct xlvs_service *service = bpf_map_lookup_elem(&services, &id);
	struct packet *t = packet_template();
	__u64 call_id = 0;
	int destination = only;

	if (!p || !s || !service || !t)
		return SCHEDULE_NONE;
	if (service->flags & XLVS_SERVICE_SIP) {
		call_id = call_id_read(ctx, p);
		if (!call_id)
			return PERSISTENCE_NO_CALL_ID;
	}
	template_key(t, p, service, call_id);
	p->templated = 1;
	if (template_find(t, s, call_id, only))
		return t->c.destination;
	if (only < 0)
		destination = schedule(p, id, service->scheduler, service->flags);
	if (destination < 0)
		return destination;
	template_key(t, p, service, call_id); /* what was found has overwritten the word */
	return template_open(t, destination, service->persistence, call_id);
}

/* The connection p->c was opened under packet_template(): counted, and its time runs anew. */
subprogram int persistence_opened(struct packet *p)
{
	struct packet *t = packet_template();
	struct xlvs_tenant mine, above;
	struct xlvs_template *state;
	struct xlvs_entry *e;

	if (!p || !t)
		return 0;
	state = template_of(t, 0, 0);
	e = entry_get(t->family != AF_INET, t->c.at);
	if (!state || !e)
		return 0;
	if (p->c.word & XLVS_CONNECTION_CONTROLLED) {
		mine = tenant_of(p->family != AF_INET, p->c.at, p->c.word);
		above = tenant_of(t->family != AF_INET, t->c.at, t->c.word);
		__sync_fetch_and_add(&state->controlled, 1);
		if (bpf_map_update_elem(&controlled, &mine, &above, BPF_ANY))
			__sync_fetch_and_add(&state->controlled, -1);
		/* sloppy_tcp: its first packet established it. */
		if (state_is_established(word_state(p->c.word)))
			state->assured = 1;
	}
	table_touch(t, e, state->timeout);
	return 0;
}

/* A connection under a template was established. */
subprogram int persistence_assure(struct packet *p)
{
	struct xlvs_tenant mine, *above, key;
	struct xlvs_template *state;

	if (!p)
		return 0;
	mine = tenant_of(p->family != AF_INET, p->c.at, p->c.word);
	above = bpf_map_lookup_elem(&controlled, &mine);
	if (!above)
		return 0;
	key = *above;
	state = bpf_map_lookup_elem(&templates, &key);
	if (state && !state->assured)
		state->assured = 1;
	return 0;
}

#endif
