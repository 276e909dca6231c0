#include "cmd/command.h"

#include <algorithm>

#include "cmd/tables.h"

namespace holdfast::cmd {
namespace {

void declare_nothing(FlagSet& flags) {
  flags.add({"options", FlagType::string, "", "a `file` of flags, one name=value a line; it fills what was not given"});
}

constexpr Command kCommands[] = {
    {"backup", "backup -master=<host:port>,... -output=<file>", "copy the masters' state from a running cluster to a file",
     "Fetches the whole state of the masters, with everything that was acknowledged before the command, and puts it in the\n"
     "  place of -output when it is whole and checked: for cron. `metarestore` restores from it. Files in volumes are not in\n"
     "  it. Exit status: 0 done; 1 not done, and -output is as it was; 2 wrong usage.",
     declare_backup, run_backup},
    {"benchmark", "benchmark -master=localhost:9333 -c=16 -n=1048576", "measure writes and reads of a running cluster",
     "Writes -n files of -size bytes and reads them back at random, -c at a time, and prints how long that took. The\n"
     "  ids written are kept in -list, so that a later run with -readOnly can read them again. While it runs, a line a\n"
     "  second tells how far it is. With -histogram the latencies are written to a file: for each bucket a line with\n"
     "  phase, lower bound and upper bound in milliseconds, and count, separated by tabs.",
     declare_benchmark, run_benchmark},
    {"completion", "completion bash|zsh|fish", "print what lets a shell complete commands and flags",
     "Prints a script for the shell, made from the tables that the flags are read by: it knows holdfast and weed, and the\n"
     "  actions of mfsmaster, mfschunkserver and mfsmetalogger. To have it at once: `source <(holdfast completion bash)`; for\n"
     "  good, put it where the shell looks for such files, as /usr/share/bash-completion/completions/holdfast, with links of\n"
     "  the other names beside it. That for zsh uses zsh's way to take those of bash.",
     declare_completion, run_completion, ""},
    {"download", "download -master=localhost:9333 -dir=. <fileId> ...", "fetch files by their ids",
     "Asks a master where each file is and fetches it into -dir, under the name it was uploaded with, else under its\n"
     "  id. A file that cannot be fetched is told of; the others are fetched all the same.",
     declare_download, run_download},
    {"kv", "kv get|put|delete|renew|list|watch [flags] ...", "read and write the masters' key-value space",
     "A small space of keys for settings, locks and whatever must be agreed on: docs/kv.md.\n"
     "    kv get [-json] [-stale] <key>                 the value, to stdout\n"
     "    kv put [-ttl=10s] [-cas=<revision>] <key> <value>|-    - reads stdin, -file=<path> a file\n"
     "    kv delete [-cas=<revision>] <key>\n"
     "    kv renew [-ttl=10s] <key>                     its time to live begins again\n"
     "    kv list [-long] [-json] [-limit=<n>] [<prefix>]\n"
     "    kv watch [-prefix] [-since=<revision>] <key>  a line for each change, until it is ended\n"
     "  `kv <what> -h` tells the flags of each. -cas=0 means: only if there is no such key. A write is sent again, to\n"
     "  whichever master leads by then, until its outcome is known, and counts once. Exit status: 0 done, 1 not found or\n"
     "  the comparison failed, 2 wrong usage, 3 refused or no master answered.",
     declare_kv, run_kv},
    {"lease", "lease -master=localhost:9333 [-history]", "tell who holds the leading master's lease, and what happened to it",
     "Prints who leads and by what right, how long its lease still runs, which masters vote and why, who does not reach\n"
     "  whom, and what an operator should look at. With -history each grant, hand-over, loss, expiry and conflict: as the\n"
     "  asked master saw it, or with -mdir from lease.log in that folder, where each master writes what it sees. Exit\n"
     "  status: 0 told, 1 nobody answers or nothing to read, 2 wrong usage.",
     declare_lease, run_lease},
    {"man", "man [<command>]\n       man -output=<folder>", "print the manual page of a command, or write them all",
     "Prints a page as man reads it (`holdfast man master | man -l -`), made from the tables that the flags are read by;\n"
     "  without a name the page of the program itself. With -output every page is written: holdfast.1, holdfast-master.1, ...,\n"
     "  and mfsmaster.8, mfsmaster.cfg.5 and so on for the daemons and their settings.",
     declare_man, run_man, ""},
    {"master", "master -port=9333 -mdir=<folder> -peers=<host:port>,<host:port>,<host:port>",
     "start a master, which knows where files are and gives out their ids",
     "Masters agree among themselves by Raft: with three of them any one may die and clients notice nothing but a pause\n"
     "  of some milliseconds. At the first start each needs the list of all in -peers and waits until all answer; later\n"
     "  starts need no -peers. Without any it is a cluster of one that others can join. Everything a master must not\n"
     "  forget lies in <mdir>/m<port>/; a master whose folder was lost joins again as a new member.",
     declare_master, run_master, "master"},
    {"master.follower", "master.follower -port=9334 -master=<host:port>,...",
     "start a server that answers lookups from a copy of the masters' map",
     "Follows the masters without being one of them: it neither votes nor counts, keeps nothing on disk, and can be started and\n"
     "  stopped at will. It answers /dir/lookup, the redirects of /<fileId> and gRPC's LookupVolume, also while no master\n"
     "  answers; what changes anything is refused. Every master answers lookups as well, leading or not: followers are for more\n"
     "  lookups than those can take.",
     declare_master_follower, run_master_follower, "master"},
    {"metalogger", "metalogger -master=<host:port>,... -dir=<folder>", "keep copies of the masters' state on this machine",
     "Keeps the whole state of the masters, now and then, and every change as it is agreed on, as plain files in -dir. It\n"
     "  takes no part in what the masters agree on, and holds nobody up. Of its files `metarestore` makes a state that a\n"
     "  master can start on when all masters are lost. As mfsmetalogger it is a daemon with the settings of MooseFS.",
     declare_metalogger, run_metalogger},
    {"metarestore", "metarestore -a [-d <folder>]\n       metarestore -m <image> -o <file> [<change log> ...]",
     "make a state to start a master on, from images and change logs",
     "Puts together what a metalogger kept: the newest whole image and the change logs, in any order. Says what it finds,\n"
     "  names every gap and every damaged line, and writes the state at the last entry that is reached without a gap. In\n"
     "  its folder, `mfsmaster start` goes on from metadata.mfs as a new cluster, a generation further. With -m and without\n"
     "  -o the image is dumped. Also called as mfsmetarestore. Exit status: 0 done; 1 entries are missing (-b takes the\n"
     "  state before them), or something cannot be read; 2 wrong usage.",
     declare_metarestore, run_metarestore, ""},
    {"recover", "recover -mdir=<folder> -port=9333",
     "go on with what one master holds when the majority is gone for good",
     "For a stopped master whose cluster can never have a majority again: the disks of the others are lost. Says what\n"
     "  this one knows and what may be lost, asks, and makes it a new cluster that has taken over the volumes of the old;\n"
     "  2^40 file keys are skipped, so that no id is given twice. Old masters that come back are told to stop. The files\n"
     "  of before are kept beside. Refused while the master runs, and when a majority can be reached.",
     declare_recover, run_recover},
    {"scaffold", "scaffold -config=[master|mfsmaster|mfschunkserver|mfsmetalogger|mfshdd] [-output=<folder>]",
     "print commented samples of settings",
     "Prints a sample of a settings file of mfsmaster, mfschunkserver or mfsmetalogger: every option with its default, its\n"
     "  meaning and its range, all of them commented out; or master.toml, with the defaults in force. With -output it is\n"
     "  written to <folder>/<config>.cfg or .toml, unless that file exists.",
     declare_scaffold, run_scaffold, ""},
    {"server", "server -dir=<folder> -master.peers=<host:port>,<host:port>,<host:port>",
     "start a master and a volume server in one process",
     "`server -dir=<folder>` alone is a whole store. With -master.peers on three machines it is a cluster without a\n"
     "  single point of failure. Flags of the master begin with -master., those of the volume server with -volume.; the\n"
     "  others are for both.",
     declare_server, run_server, "master"},
    {"shell", "shell -master=<host:port>,<host:port>,<host:port>", "give the masters commands, line by line",
     "Reads commands from the terminal, or from its input when that is none: `echo cluster.raft.ps | weed shell`. One\n"
     "  master that answers is enough: changes go to the leader, whoever that is by then. `;` separates commands on a\n"
     "  line, `help` lists them. Answers go to stdout, errors to stderr; a command that fails does not stop the next.",
     declare_shell, run_shell},
    {"testca", "testca -dir=<folder> [-hosts=<host>,<address>,...]", "make an authority and certificates for a trial of TLS",
     "Writes ca.crt and ca.key, a certificate and a key for each of -parts, and a security.toml that uses them, into -dir: then\n"
     "  `weed -config_dir=<folder> master ...` speaks gRPC by mutual TLS, and so does every other command that is given the\n"
     "  folder. Keys are readable by their owner only. A file that is there is never overwritten. For trials: whoever has\n"
     "  ca.key can make certificates. Exit status: 0 done; 1 not done, with nothing left behind; 2 wrong usage.",
     declare_testca, run_testca, ""},
    {"upload", "upload -master=localhost:9333 file1 [file2 ...]\n       upload -dir=<folder> -include=*.pdf",
     "store files and print their ids",
     "Asks a master for ids, stores the files at the volume servers it names, and prints a line of JSON with name, URL,\n"
     "  id and size of each. Progress is shown while it runs when the output is a terminal.",
     declare_upload, run_upload},
    {"version", "version", "print what this program is",
     "Prints the kind of volume files, the version, the system and the processor.", declare_nothing, run_version, ""},
    {"volume", "volume -port=8080 -dir=<folder>,... -master=<host:port>,...",
     "start a volume server, which stores files",
     "Stores files in volumes, large files that only grow, below the folders of -dir, and reports to every master at\n"
     "  once. One master that answers is enough to learn of the others; they are remembered for the next start.",
     declare_volume, run_volume, "volume"},
};

constexpr std::string_view kFuture[] = {
    "admin", "autocomplete", "autocomplete.uninstall", "compact", "export", "filer", "filer.backup",
    "filer.cat", "filer.copy", "filer.meta.backup", "filer.meta.scan", "filer.meta.tail", "filer.remote.gateway",
    "filer.remote.sync", "filer.replicate", "filer.sync", "filer.sync.verify", "fix", "fuse", "iam", "mini", "mount",
    "mq.agent", "mq.broker", "mq.kafka.gateway", "s3", "update", "webdav", "sftp", "worker"};

}  // namespace

std::span<const Command> commands() { return kCommands; }

const Command* find_command(std::string_view name) {
  const auto found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                  [&](const Command& command) { return command.name == name; });
  return found == std::end(kCommands) ? nullptr : found;
}

bool is_future_command(std::string_view name) {
  return std::find(std::begin(kFuture), std::end(kFuture), name) != std::end(kFuture);
}

}  // namespace holdfast::cmd
