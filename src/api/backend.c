/* The migration as what the API speaks for. */
#include "api/api.h"

static json_t *migration_status(void *ctx)
{
    return mf_migration_status(ctx);
}

static int migration_request(void *ctx, const struct mf_request *r, json_t **ret_reply, struct mf_error *err)
{
    return mf_migration_request(ctx, r, ret_reply, err);
}

static int migration_quarantine(void *ctx, json_t **ret, struct mf_error *err)
{
    return mf_migration_quarantine(ctx, ret, err);
}

static void migration_flags(void *ctx, struct mf_flags_view *ret)
{
    mf_migration_flags(ctx, ret);
}

static int migration_fence(void *ctx, struct mf_fence *ret, struct mf_error *err)
{
    return mf_migration_fence(ctx, ret, err);
}

static int migration_fence_passed(void *ctx, const struct mf_fence *f, bool *ret, uint64_t *ret_refused,
                                  struct mf_error *err)
{
    return mf_migration_fence_passed(ctx, f, ret, ret_refused, err);
}

static void migration_fence_nudge(void *ctx)
{
    mf_migration_fence_nudge(ctx);
}

void mf_api_for_migration(struct mf_migration *m, struct mf_api_backend *ret)
{
    *ret = (struct mf_api_backend){.ctx = m,
                                   .status = migration_status,
                                   .request = migration_request,
                                   .quarantine = migration_quarantine,
                                   .flags = migration_flags,
                                   .fence = migration_fence,
                                   .fence_passed = migration_fence_passed,
                                   .fence_nudge = migration_fence_nudge};
}
