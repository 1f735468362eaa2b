/* The spool's bytes. Pure; fuzzed through the reader.
 *
 * A block is a header of 40 bytes and a payload, perhaps compressed:
 *
 *   0  u32  magic "MFB2"
 *   4  u8   flags (1: zstd), 3 bytes zero
 *   8  u64  offset of this block since the spool's beginning: a block that landed elsewhere is not taken for another
 *   16 u64  durable: everything before this offset was durable when the block was written
 *   24 u32  stored length, 28 u32 raw length
 *   32 u64  XXH3 of the 32 bytes above and the payload
 *
 * Raw payload is a run of records, whole ones: a type byte and
 *
 *   SEGMENT   u8 mid-transaction, position: last position before this segment, svarint its stamp. First record of every segment.
 *   RELATION  varint number, varint length, table
 *   BEGIN     varint txn, position, svarint commit time, svarint stamp less commit time, varint changes, varint bytes
 *   DATA      varint length, encoded changes, whole ones
 *   END       of a transaction whose BEGIN is in the same block
 *   END_LARGE as BEGIN: of one that began in an earlier block, maybe an earlier segment
 *   PROGRESS  position
 *
 * position: varint order, varint length, token. Numbers are little endian. */
#ifndef MF_SPOOL_FORMAT_H
#define MF_SPOOL_FORMAT_H

#include "spool/spool.h"

#include <sys/uio.h>

#define MF_BLOCK_HEADER 40
#define MF_BLOCK_ZSTD   0x01u

/* A compressed block never unpacks to more than this; bigger ones are stored as they are. */
#define MF_BLOCK_RAW_MAX ((size_t)4 << 20)

struct mf_block_head {
    uint8_t flags;
    uint64_t offset, durable;
    uint32_t stored, raw;
};

/* Packs the header for this payload, with its checksum. */
void mf_block_head_pack(uint8_t out[MF_BLOCK_HEADER], const struct mf_block_head *h, const struct iovec *payload,
                        int n);
/* False when these bytes are not the header of a block at that offset (the checksum is not looked at). */
bool mf_block_head_unpack(const uint8_t in[MF_BLOCK_HEADER], uint64_t offset, struct mf_block_head *ret);
bool mf_block_sum_ok(const uint8_t in[MF_BLOCK_HEADER], const void *payload, size_t n);

enum mf_rec_type {
    MF_REC_SEGMENT = 1,
    MF_REC_RELATION,
    MF_REC_BEGIN,
    MF_REC_DATA,
    MF_REC_END,
    MF_REC_PROGRESS,
    MF_REC_END_LARGE,
};

/* The most a record takes beside its bytes. */
#define MF_REC_MAX (80 + MF_POSITION_TOKEN)

struct mf_rec {
    enum mf_rec_type type;
    bool mid;                /* SEGMENT */
    uint32_t rel;            /* RELATION */
    const uint8_t *data;     /* RELATION, DATA */
    size_t len;              /* RELATION, DATA */
    struct mf_txn_head head; /* BEGIN, END_LARGE */
    struct mf_position pos;  /* SEGMENT, PROGRESS */
    int64_t stamp;           /* SEGMENT */
};

/* Writers have room for MF_REC_MAX bytes and return the byte after the record. */
uint8_t *mf_rec_segment(uint8_t *p, bool mid, const struct mf_position *base, int64_t stamp);
/* Only the heads of RELATION and DATA records; the bytes follow. */
uint8_t *mf_rec_relation(uint8_t *p, uint32_t rel, size_t len);
uint8_t *mf_rec_begin(uint8_t *p, const struct mf_txn_head *h);
uint8_t *mf_rec_data(uint8_t *p, size_t len);
uint8_t *mf_rec_end(uint8_t *p);
uint8_t *mf_rec_end_large(uint8_t *p, const struct mf_txn_head *h);
uint8_t *mf_rec_progress(uint8_t *p, const struct mf_position *pos);

/* Reads one record and moves *p past it; false when the bytes are not one. Fills only what its type has. */
bool mf_rec_parse(const uint8_t **p, const uint8_t *end, struct mf_rec *ret);

#endif
