-------------------------------- MODULE Trace --------------------------------
(***************************************************************************)
(* Is what the simulator's masters did a run that Leases.tla allows?       *)
(*                                                                         *)
(* Lines is the history of one run (module TraceLines, made by trace.py    *)
(* of what test/sim/history.h writes).  Each step of this module is the    *)
(* next line, explained by the model: by an action of Leases.tla where     *)
(* there is one (Campaign, Write, Commit, HandOver, Certify, Restart), and *)
(* where Leases.tla takes several messages as one step, by the same        *)
(* operators (Report, Take, Retire, AfterReceipt, LeaseHeld ...) cut into  *)
(* what is sent, what is taken and what arrives.  TLC has to come to the   *)
(* last line; a line that the rules do not allow has no next state.        *)
(*                                                                         *)
(* Time is true time in nanoseconds, so Slow = Fast = 1 and Ticks is the   *)
(* length of a lease: whatever the masters' clocks did, a lease read must  *)
(* come before the lease's end in true time, and a commit after the end of *)
(* all leases before.                                                      *)
(*                                                                         *)
(* The model is never stricter than the core: it knows each token at once, *)
(* and nothing of disks.  So only what the core claims (I lead, this is    *)
(* committed, my lease holds) is compared, and its term, log and commit    *)
(* index after each of its steps.                                          *)
(***************************************************************************)
EXTENDS Leases, TraceLines

VARIABLES
  line,      \* the next one
  due,       \* time until it happens
  written,   \* [t -> the log of the leader of term t, while it led; << >> before]
  leads,     \* [t -> who led term t, or None]
  process,   \* incarnation of each server
  stood,     \* <<candidate, term, its last term, its length>>, of all there were
  voting,    \* [server -> <<term, for whom>>], its own vote included
  said,      \* the same, as far as it was told to anyone
  ballots,   \* votes on their way
  counted,   \* [candidate -> who voted for it]
  tally,     \* [candidate -> units to wait, of the votes counted]
  way        \* answers to appends on their way

passing == <<line, due>>
papers == <<written, leads, process, stood, voting, said, ballots, counted, tally, way>>

Now == Lines[line]
Must(what, why) == IF what THEN TRUE ELSE PrintT(<<"refused", Now.n, why>>) /\ FALSE

TraceInit ==
  /\ Init
  /\ line = 1 /\ due = Lines[1].dt
  /\ written = [t \in Term |-> <<>>]
  /\ leads = [t \in Term |-> None]
  /\ process = [i \in Server |-> 0]
  /\ stood = {}
  /\ voting = [i \in Server |-> <<0, None>>]
  /\ said = [i \in Server |-> <<0, None>>]
  /\ ballots = {}
  /\ counted = [i \in Server |-> {}]
  /\ tally = [i \in Server |-> NoWait]
  /\ way = {}

(***************************************************************************)
(* Time.                                                                   *)
(***************************************************************************)
TimePasses ==
  /\ due > 0
  /\ Pass([i \in Server |-> due])
  /\ tally' = [i \in Server |-> IF tally[i] = NoWait THEN NoWait
                                ELSE [c \in Claim |-> IF tally[i][c] > due THEN tally[i][c] - due ELSE 0]]
  /\ way' = {[a EXCEPT !.age = Min(Hold, @ + due)] : a \in way}
  /\ due' = 0
  /\ UNCHANGED <<line, written, leads, process, stood, voting, said, ballots, counted>>

(***************************************************************************)
(* Starts.                                                                 *)
(***************************************************************************)
Starts(i) ==
  /\ Restart(i)
  /\ process' = [process EXCEPT ![i] = @ + 1]
  /\ counted' = [counted EXCEPT ![i] = {}]
  /\ tally' = [tally EXCEPT ![i] = NoWait]
  /\ UNCHANGED <<written, leads, stood, voting, said, ballots, way>>

\* What its disk still held: less than it had, when that was not synced and
\* nobody had been told. The commit index is but a hint.
Reads(i) ==
  /\ Must(said[i][1] < Now.term \/ said[i] = <<Now.term, Now.vote>>, "has forgotten a vote that it told")
  /\ Must(\A n \in 1..Len(Now.log) : Len(written[Now.log[n]]) >= n, "starts with what nobody wrote")
  /\ Must(Now.commit <= Len(committed) /\ Now.commit <= Len(Now.log), "starts with what nobody committed")
  /\ term' = [term EXCEPT ![i] = Now.term]
  /\ voted' = [voted EXCEPT ![i] = Now.vote]
  /\ voting' = [voting EXCEPT ![i] = <<Now.term, Now.vote>>]
  /\ log' = [log EXCEPT ![i] = [n \in 1..Len(Now.log) |-> written[Now.log[n]][n]]]
  /\ commit' = [commit EXCEPT ![i] = Now.commit]
  /\ UNCHANGED <<acked, role, grant, boot, wait, leading, told, written, leads, process, stood, said, ballots, counted,
                 tally, way>>

(***************************************************************************)
(* Elections: Campaign, and Hear of Leases.tla in its parts.               *)
(***************************************************************************)
Stands(i) ==
  /\ Must(role[i] # "leader", "leads and stands for election")
  /\ Must(Now.term = term[i] + 1, "stands in a term that is not the next")
  /\ Campaign(i)
  /\ stood' = stood \cup {<<i, Now.term, LastTerm(log[i]), Len(log[i])>>}
  /\ voting' = [voting EXCEPT ![i] = <<Now.term, i>>]
  /\ counted' = [counted EXCEPT ![i] = {i}]
  /\ tally' = [tally EXCEPT ![i] = NoWait]
  /\ UNCHANGED <<written, leads, process, said, ballots, way>>

\* i leads no more, nor stands.
Follows(i, t) ==
  /\ \E rel \in Ends(i) :
       /\ grant' = [s \in Server |-> StillGranted(grant[s], rel)]
       /\ Retire(i, rel, wait, lease, fly, match)
  /\ term' = [term EXCEPT ![i] = t]
  /\ role' = [role EXCEPT ![i] = "follower"]
  /\ UNCHANGED <<log, acked, commit, boot, committed>>

HearsTerm(i) ==
  /\ Must(Now.term > term[i], "its term falls")
  /\ Follows(i, Now.term)
  /\ voted' = [voted EXCEPT ![i] = None]
  /\ UNCHANGED papers

StepsDown(i) ==
  /\ Must(role[i] = "leader", "does not lead, and steps down")
  /\ Follows(i, term[i])
  /\ UNCHANGED <<voted, papers>>

Votes(j) ==
  LET i == Now.for  t == Now.term
  IN
  /\ Must(term[j] = t, "votes in a term that is not its own")
  /\ Must(voting[j][1] < t \/ voting[j] \in {<<t, None>>, <<t, i>>}, "votes twice in a term")
  /\ Must(role[j] # "leader", "leads, and votes for another")
  /\ Must(\E s \in stood : /\ s[1] = i /\ s[2] = t
                           /\ s[3] > LastTerm(log[j]) \/ (s[3] = LastTerm(log[j]) /\ s[4] >= Len(log[j])),
          "votes for a log that ends before its own")
  /\ voting' = [voting EXCEPT ![j] = <<t, i>>]
  /\ voted' = [voted EXCEPT ![j] = i]
  /\ ballots' = {b \in ballots : b.from # j \/ b.term > t}
                \cup {[from |-> j, for |-> i, term |-> t, process |-> Now.process, claims |-> Report(j, t)]}
                \cup {b \in ballots : b.from = j /\ b.term = t /\ <<b.for, b.process>> # <<i, Now.process>>}
  /\ UNCHANGED <<term, log, acked, local, wait, leading, told, written, leads, process, stood, said, counted, tally, way>>

Says(j) ==
  /\ Must(voting[j] = <<Now.term, Now.for>> \/ voting[j][1] > Now.term, "tells a vote that it did not give")
  /\ said' = [said EXCEPT ![j] = IF @[1] > Now.term THEN @ ELSE <<Now.term, Now.for>>]
  /\ UNCHANGED <<vars, written, leads, process, stood, voting, ballots, counted, tally, way>>

\* A vote arrives. One for an earlier process, or for an earlier term, is nothing.
Counted(i) ==
  LET mine == {b \in ballots : b.from = Now.from /\ b.for = i /\ b.term = Now.term /\ b.process = process[i]}
      good == Now.process = process[i] /\ role[i] = "candidate" /\ term[i] = Now.term /\ Now.from \notin counted[i]
  IN
  /\ IF mine # {} /\ good
     THEN LET b == CHOOSE b \in mine : TRUE
          IN /\ counted' = [counted EXCEPT ![i] = @ \cup {Now.from}]
             /\ tally' = [tally EXCEPT ![i] = [c \in Claim |-> Max(@[c], b.claims[c])]]
     ELSE UNCHANGED <<counted, tally>>
  /\ UNCHANGED <<vars, written, leads, process, stood, voting, said, ballots, way>>

\* What is released by now is owed no more. Its own report is of this moment.
Leads(i) ==
  LET t == Now.term
      own == Report(i, t)
  IN
  /\ Must(role[i] = "candidate" /\ term[i] = t, "leads without having stood")
  /\ Must(Cardinality(counted[i]) >= 2, "leads without a majority of votes")
  /\ Must(leads[t] = None, "leads a term that another led (I1)")
  /\ Must(IsPrefix(committed, log[i]), "leads without all that is committed (I4)")
  /\ role' = [role EXCEPT ![i] = "leader"]
  /\ wait' = [wait EXCEPT ![i] =
       [c \in Claim |-> IF IsReleased(released, TermOf(c), EpochOf(c)) THEN 0 ELSE Max(own[c], tally[i][c])]]
  /\ leads' = [leads EXCEPT ![t] = i]
  /\ written' = [written EXCEPT ![t] = log[i]]
  /\ UNCHANGED <<durable, commit, grant, boot, leading, told, process, stood, voting, said, ballots, counted, tally, way>>

(***************************************************************************)
(* The log: Write, Commit, and Beat of Leases.tla in its parts.            *)
(***************************************************************************)
Writes(l) ==
  /\ Must(role[l] = "leader" /\ term[l] = Now.term, "writes and does not lead")
  /\ Must(Now.index = Len(log[l]) + 1, "writes at a place that is not the next")
  /\ Write(l)
  /\ log'[l][Now.index].k = Now.key
  /\ written' = [written EXCEPT ![Now.term] = log'[l]]
  /\ UNCHANGED <<leads, process, stood, voting, said, ballots, counted, tally, way>>

\* j takes an append, or a beat, of the leader of term t.
Takes(j) ==
  LET l == Now.from  t == Now.term
  IN
  /\ Must(term[j] <= t, "answers a leader of an earlier term")
  /\ Must(leads[t] = l, "takes an append of one who did not lead the term")
  /\ Must(role[j] # "leader" \/ term[j] < t, "leads, and takes an append of its term (I1)")
  /\ Must(Now.equal <= Len(written[t]), "takes what its leader never wrote")
  /\ Must(Now.commit <= Len(committed), "holds for committed what nobody committed")
  /\ \E rel \in Ends(j) :
       /\ Take(j, l, t, SubSeq(written[t], 1, Now.equal), Now.commit, Now.epoch, rel)
       /\ Retire(j, rel, wait, lease, fly, match)
  /\ Must(IsPrefix(SubSeq(log[j], 1, commit[j]), log'[j]), "cuts off what is committed (I3)")
  /\ way' = way \cup {[from |-> j, to |-> l, term |-> t, id |-> Now.id, epoch |-> Now.epoch, match |-> Now.match,
                       age |-> Min(Hold, Now.age)]}
  /\ UNCHANGED <<written, leads, process, stood, voting, said, ballots, counted, tally>>

\* An answer arrives at l. The lease is counted from when the question was sent.
Hears(l) ==
  LET mine == {a \in way : /\ a.from = Now.from /\ a.to = l /\ a.term = term[l] /\ a.id = Now.id
                           /\ a.epoch = Now.epoch /\ a.match = Now.match}
  IN
  /\ IF mine # {} /\ role[l] = "leader"
     THEN LET a == CHOOSE a \in mine : TRUE
          IN /\ way' = way \ mine
             /\ match' = IF a.match > commit[l] THEN [match EXCEPT ![l][a.from] = Max(@, a.match)] ELSE match
             /\ lease' = IF a.epoch = epoch[l] /\ ~word[l] THEN [lease EXCEPT ![l] = Min(@, a.age)] ELSE lease
     ELSE UNCHANGED <<way, match, lease>>
  /\ UNCHANGED <<durable, local, wait, fly, epoch, word, held, told, written, leads, process, stood, voting, said, ballots,
                 counted, tally>>

Commits(l) ==
  /\ Must(role[l] = "leader", "commits and does not lead")
  /\ Must(Now.index \in 1..Len(log[l]) /\ log[l][Now.index].t = term[l], "commits an older entry by count (I7)")
  /\ Must(\E j \in Server : match[l][j] >= Now.index, "commits what no majority has")
  /\ Must(wait[l] = NoWait, "commits before all earlier leases are over (I7)")
  /\ Commit(l, Now.index)
  /\ Must(I3_CommittedStays', "two servers commit different entries (I3)")
  /\ Must(I8_ReadsAreCurrent', "another holds a lease, and what it would answer is now old (I8)")
  /\ Must(I9_OverlapWithoutCommit', "another holds a lease of an earlier term (I9)")
  /\ UNCHANGED papers

\* A follower learns by itself how far its log is committed.
Knows(i) ==
  /\ Must(Now.index <= Len(committed) /\ IsPrefix(SubSeq(log[i], 1, Now.index), committed),
          "holds for committed what nobody committed")
  /\ commit' = [commit EXCEPT ![i] = Max(@, Now.index)]
  /\ UNCHANGED <<durable, role, grant, boot, wait, leading, told, papers>>

(***************************************************************************)
(* Leases given up, and used.                                              *)
(***************************************************************************)
GivesUp(l) ==
  /\ Must(role[l] = "leader" /\ epoch[l] = Now.epoch, "gives up a lease that is not its own")
  /\ IF released[term[l]] = All  \* its guardian has given it up already
     THEN /\ epoch' = [epoch EXCEPT ![l] = @ + 1]
          /\ UNCHANGED <<durable, local, wait, lease, fly, match, word, held, told>>
     ELSE HandOver(l)
  /\ UNCHANGED papers

\* The guardian of a process that leads, or that led when it died.
IsCertified(l) ==
  /\ IF role[l] = "leader" /\ term[l] = Now.term /\ released[Now.term] # All THEN Certify(l) ELSE UNCHANGED vars
  /\ UNCHANGED papers

Answers(l) ==
  /\ Must(LeaseHeld(l), "answers a read by a lease that it does not hold")
  /\ Must(Readable(l, Now.key), "answers in its wait what others may have written (2.3)")
  /\ Must(Now.index <= commit[l], "answers with what it has not committed")
  /\ Must(Value(log[l], Now.index, Now.key) = LastCommitted(Now.key), "answers with an old value (I8)")
  /\ UNCHANGED <<vars, papers>>

(***************************************************************************)
(* The next line, and what its server's status says after it.              *)
(***************************************************************************)
Explained ==
  LET i == Now.who
  IN CASE Now.what = "start" -> Starts(i)
       [] Now.what = "disk" -> Reads(i)
       [] Now.what = "campaign" -> Stands(i)
       [] Now.what = "term" -> HearsTerm(i)
       [] Now.what = "down" -> StepsDown(i)
       [] Now.what = "vote" -> Votes(i)
       [] Now.what = "said" -> Says(i)
       [] Now.what = "count" -> Counted(i)
       [] Now.what = "lead" -> Leads(i)
       [] Now.what = "write" -> Writes(i)
       [] Now.what = "take" -> Takes(i)
       [] Now.what = "ack" -> Hears(i)
       [] Now.what = "commit" -> Commits(i)
       [] Now.what = "know" -> Knows(i)
       [] Now.what = "hand-over" -> GivesUp(i)
       [] Now.what = "certificate" -> IsCertified(i)
       [] Now.what = "read" -> Answers(i)

AsTold(is) ==
  LET i == Now.who
  IN /\ Must(term'[i] = is[1], <<"its term is", is[1], "and should be", term'[i]>>)
     /\ Must((role'[i] = "leader") = (is[2] = 1), <<"it leads or not, and should be a", role'[i]>>)
     /\ Must(Len(log'[i]) = is[3] /\ LastTerm(log'[i]) = is[4],
             <<"its log ends at", is[3], "of term", is[4], "and should at", Len(log'[i]), "of", LastTerm(log'[i])>>)
     /\ Must(commit'[i] = is[5], <<"its commit index is", is[5], "and should be", commit'[i]>>)

NextLine ==
  /\ due = 0 /\ line <= Len(Lines)
  /\ Explained
  /\ IF Now.is = <<>> THEN TRUE ELSE AsTold(Now.is)
  /\ line' = line + 1
  /\ due' = IF line < Len(Lines) THEN Lines[line + 1].dt ELSE 0

TraceSpec == TraceInit /\ [][TimePasses \/ NextLine]_<<vars, passing, papers>>
=============================================================================
