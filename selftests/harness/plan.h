/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans for the calling process: its own array is run in place, as the blob would run it. */
#pragma once
#include "model/resource.h"
#include "plan/plan.h"

/* Objects of a kind with one message; the message is owned by the graph. */
#define OBJECT(graph, resource, id) (graph_add(graph, (resource)->kind, id)->data)

/* Lets the resource plan every object that it has in the graph and runs what comes out: first the world's array, then that
 * of tid, here. The test fails with the plan printed when a step does. Returns what was planned, for a look. */
struct plan *run_plan(const struct resource *, const struct graph *, u32 tid);
/* The same, but gives the error of the first failed step of tid's array (0: none) instead of failing. */
s64 try_plan(const struct resource *, const struct graph *, u32 tid);
/* The sealed plan only; and one array of an arena that it was emitted to, run here: the error of its failed step, or 0. */
struct plan *make_plan(const struct resource *, const struct graph *, u32 tid);
s64 run_array(const struct plan *, void *arena, u32 tid);
#define PLAN_FIRST_FD 200 /* first_service_fd of these plans */
