/* The connector's row. Operations are added as they come; the registry knows it once they are all there. */
#include "connector/mysql/mysql_room.h"

const char *my_direction(enum mf_direction d)
{
    return d == MF_FORWARD ? "fwd" : "rev";
}

static const struct mf_source_ops source_ops = {0};

static const struct mf_target_ops target_ops = {0};

static const struct mf_traffic_ops traffic_ops = {
    .hurry = my_hurry,
};

static const char *const schemes[] = {"mysql", "mariadb", NULL};

const struct mf_connector mf_connector_mysql = {
    .name = "mysql",
    .schemes = schemes,
    .wire = MY_WIRE,
    .can_source = true,
    .can_target = true,
    .open = my_open,
    .close = my_close,
    .facts = my_facts,
    .source = &source_ops,
    .target = &target_ops,
    .traffic = &traffic_ops,
};
