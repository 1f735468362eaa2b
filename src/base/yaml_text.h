/* What is written into a configuration: texts of YAML, and comments. */
#ifndef MF_BASE_YAML_TEXT_H
#define MF_BASE_YAML_TEXT_H

#include "base/buf.h"

/* A text, also between brackets, in which nothing is replaced: a "${" is written as the configuration wants one that is meant as it stands. */
void mf_yaml_text(struct mf_buf *b, const char *text);
/* To the end of the line, whatever the text has in it. */
void mf_yaml_comment(struct mf_buf *b, const char *before, const char *text);

#endif
