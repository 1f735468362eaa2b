/* What tells a value that is MF_REFUSED from others: its reason ends with this, 16 digits of a hash, and ")". One that has none is computed from the row
 * (connector/view), and the rest of the key tells the row. */
#ifndef MF_MODEL_REFUSED_H
#define MF_MODEL_REFUSED_H

#define MF_REFUSED_MARK   " (its bytes: "
#define MF_REFUSED_DIGITS 16

#endif
