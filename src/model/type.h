/* The type of a column, and the form of its values, that every engine understands: what travels between databases of different kinds.
 *
 * An engine says what its own type is in these terms (mf_canon_ops in connector/canon.h) and turns its own text of a value into the canonical
 * one and back. So n engines need n translations and not one for each pair, and a value that both sides have is the same bytes on both:
 * that is what verify compares.
 *
 * A translation is exact or an error (MF_ROW): nothing is cut, rounded, or replaced.
 *
 * Canonical values (mf_value, kind MF_TEXT unless said):
 *   BOOL      "0", "1"
 *   INT       decimal digits with "-" where negative, no leading zeros
 *   DECIMAL   digits, "." and digits where there is a fraction, without leading zeros (but "0.5") and without trailing ones behind the point; no
 *             exponent; zero is "0"; "NaN", "Infinity", "-Infinity"
 *   FLOAT     the shortest decimal that reads back as the same number of its width, as mf_put_double and mf_put_float (base/number.h) write it; the
 *             three words as above; "-0", which is not "0"
 *   BITS      '0' and '1', one for each bit, the highest first
 *   DATE      "2026-11-28"; what no calendar has is left as the engine writes it ("0000-00-00", "infinity", "0044-03-15 BC")
 *   TIME      "-838:59:59.5": hours of two digits or more, the fraction without trailing zeros
 *   DATETIME  "2026-11-28 01:02:03.5", the same; as for DATE
 *   INSTANT   the same, in UTC, without a zone
 *   TEXT      UTF-8; without trailing blanks where they mean nothing (fixed). Of a column that takes any: the canonical text of whatever stands there
 *   BYTES     kind MF_BINARY: the bytes
 *   ENUM      the label; SET: the labels in the order of the type, separated by commas
 *   JSON      without white space; keys of an object in the order of their bytes; numbers by their value alone; strings with no more escapes than JSON asks
 *             for (model/json.h). A document with a key twice, or deeper than 100 brackets, has no canonical form. Where the type has a shape: as
 *             model/document.h has it
 *   UUID      "123e4567-e89b-12d3-a456-426614174000", lower case
 *   OPAQUE    the engine's own text: all that can be said is whether it is the same. Another text that comes back is what its server reads in it
 */
#ifndef MF_MODEL_TYPE_H
#define MF_MODEL_TYPE_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum mf_kind {
    MF_KIND_OPAQUE = 1,
    MF_KIND_BOOL,
    MF_KIND_INT,     /* bits (8, 16, 24, 32, 64), is_unsigned */
    MF_KIND_DECIMAL, /* precision, scale; precision 0: any number of digits */
    MF_KIND_FLOAT,   /* bits: 32 or 64 */
    MF_KIND_BITS,    /* length; fixed: exactly so many */
    MF_KIND_DATE,
    MF_KIND_TIME,     /* scale: digits of the fraction */
    MF_KIND_DATETIME, /* scale */
    MF_KIND_INSTANT,  /* scale; a moment: the engine converts it from and to the session's zone */
    MF_KIND_TEXT,     /* length in characters, 0: without bound; fixed: padded with blanks, which mean nothing */
    MF_KIND_BYTES,    /* length, 0: without bound; fixed: padded with zeros, which are part of the value */
    MF_KIND_ENUM,     /* labels */
    MF_KIND_SET,      /* labels */
    MF_KIND_JSON,
    MF_KIND_UUID,
};

/* Of a JSON: what its documents look like, where that is known and held to. Of an OPAQUE: its engine can tell its values as such documents too
 * (mf_canon_ops.document), for a column elsewhere that has that shape. */
enum mf_shape {
    MF_SHAPE_NONE,
    MF_SHAPE_LIST, /* parts[0] */
    MF_SHAPE_SET,  /* the same, none twice, whatever order */
    MF_SHAPE_MAP,  /* keys of parts[0], which has no shape, to parts[1] */
    MF_SHAPE_RECORD, /* fields called labels[i], of parts[i], any of them NULL; nparts 0: which there are is only known elsewhere */
};

struct mf_type {
    enum mf_kind kind;
    enum mf_shape shape;
    bool is_unsigned, fixed;
    /* TEXT: the engine has no type of its own for much of what others have, and its texts may stand for it: documents, times of day with microseconds, bits. The
     * canonical text is what stands there, and what is none of the other column's is refused on its way back. */
    bool any;
    uint8_t bits;
    uint16_t precision;
    int16_t scale;
    uint32_t length;
    uint8_t
        form; /* the engine's own: which of several ways it writes such values; 0 to everybody else, and in no text */
    uint16_t nlabels;
    const char *const *labels; /* UTF-8 */
    uint16_t nparts;           /* of a shape */
    const struct mf_type *parts;
};
#define MF_SHAPE_DEPTH 16 /* shapes within shapes */

/* "int(32)", "int(64) unsigned", "decimal(10,2)", "text(20)", "enum('a','b')": for messages, and the same text means the same type. */
void mf_type_put(struct mf_buf *b, const struct mf_type *t);
/* A deep copy in the arena; NULL when it is full. */
const struct mf_type *mf_type_copy(struct mf_arena *arena, const struct mf_type *t);
/* Values of `from` may be written into a column of `to` and be read back as the same canonical values, if the row itself fits (a row that does not is
 * refused, by the translation or by the server). True where `to` has room for every value of `from`, and where one of them is what an engine makes
 * of the other, because the pipe turns round: a TINYINT UNSIGNED became a smallint, and takes a smallint back. False where rows would be
 * refused as a matter of course: int(16) of int(64), text(10) of text(20), int of decimal(10,2). */
bool mf_type_takes(const struct mf_type *to, const struct mf_type *from);

#endif
