/* Any document of facts as text for people. */
#ifndef MF_CLI_DOCUMENT_H
#define MF_CLI_DOCUMENT_H

#include "cli/command.h"

/* depth: 0 for a whole document. */
void mf_document_print(const json_t *doc, int depth, FILE *out);

#endif
