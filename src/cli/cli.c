/* The table of commands, and the way from argv to one of them. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/command.h"

#include <curl/curl.h>
#include <signal.h>

#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, NULL                                                                                               \
    }

const struct mf_cli_option mf_global_options[] = {
    {"config", "FILE", "the configuration; ./migration.yaml when it is there"},
    {"source", "URL", "the database to move from; with --target, no configuration is needed"},
    {"target", "URL", "the database to move to"},
    {"state", "DIR", "the directory of this migration's state; ./midflight-state unless said"},
    {"set", "KEY=VALUE", "one key of the configuration, over what it says; may be given again"},
    {"json", NULL, "facts as one JSON document on standard output"},
    {"log-level", "LEVEL", "debug, info, warn or error"},
    {"help", NULL, "this"},
    END,
};

static const struct mf_cli_option no_options[] = {END};
static const struct mf_cli_option check_options[] = {
    {"queries", NULL,
     "also give the target the statements the source has seen: which it does not parse or plans worse"},
    END,
};
static const struct mf_cli_option plan_options[] = {
    {"full", NULL, "of a source of documents, look at all of them and not at a sample (plan.documents)"},
    {"write-map", "FILE", "also write the proposed `map:` there, for you to change; never over a file that exists"},
    END,
};
static const struct mf_cli_option run_options[] = {
    {"until", "copied|synced", "stop there, resumable"},
    END,
};
static const struct mf_cli_option status_options[] = {
    {"watch", NULL, "show it again every second until the migration ends"},
    END,
};
static const struct mf_cli_option verify_options[] = {
    {"table", "SCHEMA.TABLE", "this table only"},
    {"sample", "SHARE", "compare this share of the chunks (0.01 is one in a hundred)"},
    {"repair", NULL, "write the right rows over the differing ones, then compare those again"},
    END,
};
static const struct mf_cli_option move_options[] = {
    {"dry-run", NULL, "check the guards and rehearse both streams; nothing moves"},
    {"max-pause", "TIME", "give up when writers would be held longer; over cutover.max_pause"},
    END,
};
static const struct mf_cli_option rollback_options[] = {
    {"dry-run", NULL, "check the guards and rehearse both streams; nothing moves"},
    {"max-pause", "TIME", "give up when writers would be held longer; over cutover.max_pause"},
    {"accept-differences", NULL, "go back to the source as it is, though it is known to differ"},
    END,
};

static const struct mf_cli_option fence_options[] = {
    {"timeout", "TIME", "fail when it takes longer: 1ms to 60s; 10s unless said"},
    END,
};

static const struct mf_cli_option end_options[] = {
    {"force", NULL, "whichever state directory the migration belongs to: for when that one is lost"},
    END,
};
static const struct mf_cli_option quarantine_options[] = {
    {"direction", "forward|reverse", "rows that the target refused, or that the source did on the way back"},
    END,
};

static const struct mf_cli_exit plain_exits[] = {{0, "done"}};
static const struct mf_cli_exit run_exits[] = {
    {3, "blocked: `midflight check` finds what must be resolved first, and nothing was begun"},
    {0, "completed, cancelled, stopped by a signal, or where --until says"}};
static const struct mf_cli_exit quarantine_exits[] = {
    {3, "refused: the rows still differ, or belong to the direction that is not in use"}, {0, "done"}};
static const struct mf_cli_exit check_exits[] = {{3, "blocked: a finding must be resolved first"}, {0, "ready"}};
static const struct mf_cli_exit verify_exits[] = {{3, "could not be done now; it says nothing about the sides"},
                                                  {4, "the sides differ, or did and not all of it could be repaired"},
                                                  {0, "equal, or made equal by --repair"}};
static const struct mf_cli_exit move_exits[] = {{3, "refused or abandoned; everything is as it was before"},
                                                {0, "done"}};

const struct mf_command mf_commands[] = {
    {"check", "", 0, 0, "what would stop or hurt this migration, each finding with its remedy",
     "Connects to both databases and changes nothing. Findings come most severe first; a remedy is a statement to "
     "paste.\n"
     "--queries prepares and explains statements and executes none; plans are compared once the target has all "
     "indexes.",
     check_options, check_exits, false, mf_cmd_check},
    {"plan", "", 0, 0, "what would be made, how long it would take, and the runbook; changes nothing",
     "Where the target spreads rows by a part of their key, it proposes keys and query tables for the source's tables "
     "(a\n"
     "`map:`), says why, and measures how large their partitions would be; with a `map:` it measures that one's.\n"
     "Where the source has documents, it looks at them, says what is at each path, and proposes tables (a `map:`); "
     "with "
     "a\n"
     "`map:` it says what that one refuses and leaves empty.",
     plan_options, plain_exits, false, mf_cmd_plan},
    {"run", "", 0, 0, "the migration: schema, copy, stream, and on until `complete`; stop and start it at any moment",
     "Runs in the foreground until the migration is completed or cancelled. SIGINT or SIGTERM stops it so that the "
     "next\n"
     "`run` goes on from there; a second one ends it at once, which is as safe. The other commands talk to it through\n"
     "its state directory. Progress is shown on a terminal, log lines are written elsewhere. SIGHUP stops it too, "
     "unless it\n"
     "is ignored (nohup). A migration belongs to its state directory, spool included: another one is refused.",
     run_options, run_exits, false, mf_cmd_run},
    {"status", "", 0, 0, "one screen: phase, copy, stream, verification, tables", NULL, status_options, plain_exits,
     false, mf_cmd_status},
    {"verify", "", 0, 0, "compare every row of both sides now, while both change; name the rows that differ",
     "Needs a running migration. Rows in quarantine count as differences.", verify_options, verify_exits, false,
     mf_cmd_verify},
    {"reads", "PER_CENT", 1, 1, "serve this share of reads from the target", NULL, no_options, move_exits, false,
     mf_cmd_reads},
    {"cutover", "", 0, 0, "move writes to the target",
     "Checks its guards, holds writers, drains the stream to the last commit, carries sequences over, and lets writers "
     "go\n"
     "on at the target, with a stream back to the source from then on. Before that is decided, anything that goes "
     "wrong\n"
     "lets writers go on as if nothing had been.",
     move_options, move_exits, false, mf_cmd_cutover},
    {"rollback", "", 0, 0, "move writes and reads back to the source, with every write made since",
     "Waits for no verification. Refused where the source is known to differ since the cutover: somebody else was seen "
     "to\n"
     "have written to it, or a verification found rows that differ; until one finds both sides equal.",
     rollback_options, move_exits, false, mf_cmd_rollback},
    {"freeze", "", 0, 0, "make the side that takes writes read-only", NULL, no_options, move_exits, false,
     mf_cmd_freeze},
    {"thaw", "", 0, 0, "end a freeze", NULL, no_options, move_exits, false, mf_cmd_thaw},
    {"fence", "", 0, 0, "wait until the other side has everything that was committed before",
     "For an application that has written on the side that takes writes and reads on the other: GET /v1/fence does the "
     "same.",
     fence_options, plain_exits, false, mf_cmd_fence},
    {"complete", "", 0, 0, "end of the way back: stop, and leave nothing of midflight in either database",
     "Works with and without a running migration. Refused while writes are on the source.", end_options, move_exits,
     false, mf_cmd_complete},
    {"cancel", "", 0, 0, "give up before the cutover: stop, and leave nothing of midflight in either database",
     "Works with and without a running migration. Refused while writes are on the target. The rows copied so far stay "
     "in\n"
     "the target.",
     end_options, move_exits, false, mf_cmd_cancel},
    {"quarantine", "[list | show ID | retry ID|all | drop ID|all]", 0, 2, "rows that were refused",
     "`retry` writes the rows of the entry's table as the side that takes writes has them now, and drops the entry "
     "when the\n"
     "table is equal. Only rows refused in the direction in use can be tried again. Needs a running migration.",
     quarantine_options, quarantine_exits, false, mf_cmd_quarantine},
    {"help", "[COMMAND | config]", 0, 1, "what a command does and takes; the keys of the configuration", NULL,
     no_options, plain_exits, false, mf_cmd_help},
    {"version", "", 0, 0, "the version", NULL, no_options, plain_exits, false, mf_cmd_version},
    {"reference", "config|commands|api|metrics|cutover", 1, 1, "a page of docs/reference", NULL, no_options,
     plain_exits, true, mf_cmd_reference},
};
const size_t mf_command_count = MF_ARRAY_LEN(mf_commands);

const struct mf_command *mf_command_find(const char *name)
{
    for (size_t i = 0; i < mf_command_count; i++) {
        if (mf_streq(mf_commands[i].name, name)) {
            return &mf_commands[i];
        }
    }
    return NULL;
}

int mf_cli_main(int argc, char **argv)
{
    struct mf_args args;
    struct mf_error err = {0};
    signal(SIGPIPE, SIG_IGN);
    if (mf_args_parse(argc, argv, &args, &err) < 0) {
        int status = mf_cli_fail(NULL, &err);
        mf_args_free(&args);
        return status;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = args.command->run(&args);
    curl_global_cleanup();
    mf_args_free(&args);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return status == MF_EXIT_OK ? MF_EXIT_FAILED : status;
    }
    return status;
}
