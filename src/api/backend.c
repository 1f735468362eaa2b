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

void mf_api_for_migration(struct mf_migration *m, struct mf_api_backend *ret)
{
    *ret = (struct mf_api_backend){.ctx = m,
                                   .status = migration_status,
                                   .request = migration_request,
                                   .quarantine = migration_quarantine,
                                   .flags = migration_flags};
}
