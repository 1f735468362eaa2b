/* A place in a server's log files, whatever its positions are made of: for comparing what lies before what on one server. */
#ifndef MF_CONNECTOR_MYSQL_PLACE_H
#define MF_CONNECTOR_MYSQL_PLACE_H

#include "base/str.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/gtid.h"

#include <string.h>

struct my_place {
    char file[512]; /* "": not known */
    uint64_t offset;
};

/* Behind this event. An event's own word for its end has 32 bits; a file may be longer by one large transaction. */
static inline void my_place_follow(struct my_place *p, const struct my_event *e)
{
    if (e->kind == MY_EV_ROTATE) {
        mf_strlcpy(p->file, e->rotate.file, sizeof p->file);
        p->offset = e->rotate.position;
        return;
    }
    if (e->artificial || e->next_position == 0 || e->kind == MY_EV_HEARTBEAT) {
        return;
    }
    uint64_t end = (p->offset & ~(uint64_t)UINT32_MAX) | e->next_position;
    if (end + (UINT64_C(1) << 31) < p->offset) {
        end += UINT64_C(1) << 32;
    }
    p->offset = end > p->offset ? end : p->offset;
}

/* 0 when it is not known. */
static inline uint64_t my_place_order(const struct my_place *p)
{
    struct mf_position pos = {0};
    struct mf_error ignored = {0};
    return p->file[0] && my_file_position(p->file, p->offset, &pos, &ignored) == 0 ? pos.order : 0;
}

#endif
