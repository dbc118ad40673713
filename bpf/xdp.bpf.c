// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The director at the XDP hook. */
#include "hook_xdp.h"

#include "lean.h"
#include "pipeline.h"

/* A packet of which lean() knows that it is plain and of no connection. */
static __always_inline int lean_pipeline(struct xdp_md *ctx, struct packet *p,
					 struct xlvs_settings *s)
{
	int why, verdict;

	lean_describe(ctx, p, s);
	why = pipeline_open(ctx, p, s);
	if (why)
		return finish(ctx, p, why);
	if (likely(p->opened && !p->one_packet)) {
		verdict = lean_opened(ctx, p, s);
		if (likely(verdict != LEAN_NOT))
			return verdict;
	}
	return finish(ctx, p, pipeline_forward(ctx, p, s));
}

SEC("xdp")
int xlvs_xdp(struct xdp_md *ctx)
{
	struct xlvs_settings *s = settings_get();
	int verdict = lean(ctx, s);

	if (likely(verdict != LEAN_NOT && verdict != LEAN_NEW))
		return verdict;

	struct packet p = {};

	if (verdict == LEAN_NEW && s)
		return lean_pipeline(ctx, &p, s);
	return pipeline(ctx, &p, s);
}

char _license[] SEC("license") = "Dual BSD/GPL";
