#ifndef MF_CLI_CLI_H
#define MF_CLI_CLI_H

/* Runs the command line. Called once, on the main thread. Returns the process's exit status. */
int mf_cli_main(int argc, char **argv);

#endif
