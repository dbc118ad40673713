/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet comes in, at either hook: the lean way if it is plain, else the pipeline. */
#ifndef XLVS_DIRECTOR_H
#define XLVS_DIRECTOR_H

#include "lean.h"
#include "pipeline.h"

/* A plain packet of no connection opens one, if there is a service. */
static __always_inline int lean_open(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	int why, verdict;

	lean_describe(ctx, p, s, XLVS_ADDRESS_VIRTUAL);
	why = pipeline_open(ctx, p, s);
	if (why)
		return finish(p, unlikely(p->proved) ? pipeline_refuse_proved(ctx, p, why) : why);
	if (likely(p->opened && !p->one_packet && !p->reply &&
		   !(p->c.word & XLVS_CONNECTION_SPECIAL))) {
		verdict = lean_forward(ctx, p, s);
		if (likely(verdict != LEAN_NOT))
			return verdict;
	}
	return finish(p, pipeline_forward(ctx, p, s));
}

/* A plain packet for a stateless service; LEAN_NOT if it is not that easy. */
static __always_inline int lean_stateless(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	lean_describe(ctx, p, s, XLVS_ADDRESS_VIRTUAL | XLVS_ADDRESS_STATELESS);
	if (stateless_choose(p, s, 0) != STATELESS_SENT)
		return LEAN_NOT;
	return lean_forward(ctx, p, s);
}

static __always_inline int director(hook_ctx *ctx)
{
	struct xlvs_settings *s = settings_get();
	int verdict = lean(ctx, s);
	struct packet *p;

	if (likely(verdict > LEAN_NOT))
		return verdict;

	p = packet_begin();
	if (!p)
		return HOOK_VERDICT_PASS;
	if (verdict == LEAN_NEW && s)
		return lean_open(ctx, p, s);
	if (verdict == LEAN_STATELESS && s) {
		verdict = lean_stateless(ctx, p, s);
		if (likely(verdict != LEAN_NOT))
			return verdict;
	}
	return pipeline(ctx, p, s);
}

#endif
