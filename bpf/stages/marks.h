/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef XLVS_MARKS_H
#define XLVS_MARKS_H
#include "packet.h"
#define mark_of(ctx, p, s) ((void)(ctx), 0u)
#endif
