/*
 * pgoutput's messages into items: bytes in, items out, no connection, no clock; fuzzed.
 *
 * Implements "Logical Replication Message Formats" of PostgreSQL's manual for protocol versions 1 and 2 (large
 * transactions streamed before their commit). Values are views into the message; rows live in arrays of the decoder:
 * an item is good until the next message.
 *
 * What a row is found by. pgoutput flags the columns of the replica identity, in table order; the catalogue knows them
 * in the order of the index, and knows the primary key of a table that sends its whole old rows (REPLICA IDENTITY
 * FULL). So a lookup is asked for the key's columns: where they are the flagged ones, or the identity is full, the
 * table gets them, in that order; otherwise the flags are believed. For a full identity with a key, the old row is
 * then reduced to its key, so that one kind of table always looks the same downstream.
 */
#ifndef MF_CONNECTOR_POSTGRES_DECODE_H
#define MF_CONNECTOR_POSTGRES_DECODE_H

#include "change/change.h"

/* Key columns of a table by name, in index order; none (*ret_n = 0) when it is not known or has no key. The names
 * stay good until the next call. */
typedef void pg_key_lookup(void *ctx, const struct mf_table *t, const char *const **ret_names, size_t *ret_n);

struct pg_decoder;

/* lookup may be NULL. NULL only when out of memory. */
struct pg_decoder *pg_decoder_new(pg_key_lookup *lookup, void *ctx);
void pg_decoder_free(struct pg_decoder *d); /* NULL is allowed */

/* Decodes one message. ret->kind is MF_ITEM_NONE for one that says nothing to us. In a COMMIT, position.order is the
 * end of the commit record; the token is left to the caller. Malformed bytes: MF_FATAL, code MFPROTO. */
int pg_decode(struct pg_decoder *d, const void *data, size_t len, struct mf_item *ret, struct mf_error *err);

/* Old rows that are sent whole stay so, whatever the table's key (mf_stream.old_whole). Not at first. */
void pg_decoder_keep_old(struct pg_decoder *d, bool whole);

/* Between BEGIN and COMMIT of a transaction that is sent whole. */
bool pg_decoder_in_transaction(const struct pg_decoder *d);

#endif
