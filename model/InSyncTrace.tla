---------------------------- MODULE InSyncTrace ----------------------------
(***************************************************************************)
(* As Trace.tla, for two masters and a witness: is what the simulator's    *)
(* masters and their witness did a run that InSync.tla allows?  Time has   *)
(* no part in it.  Campaign, Write, Commit, Propose, Register, Confirm,    *)
(* Require, Unrequire and Restart are InSync.tla's own steps; votes and    *)
(* appends, which it takes as one step each, are cut into what is sent,    *)
(* taken and heard.                                                        *)
(***************************************************************************)
EXTENDS InSync, TraceLines

VARIABLES
  line,      \* the next one
  written,   \* [t -> the log of the leader of term t, while it led; << >> before]
  leads,     \* [t -> who led term t, or None]
  process,   \* incarnation of each voter
  stood,     \* <<candidate, term, its last term, its length>>, of all there were
  voting,    \* [voter -> <<term, for whom>>], its own vote included
  said,      \* the same, as far as it was told to anyone
  recorded,  \* the last record that the witness told it has
  proposed,  \* all records that were ever made
  ballots,   \* votes on their way
  counted,   \* [candidate -> who voted for it]
  told,      \* [candidate -> the record that came with the witness's vote]
  way        \* answers to appends on their way

papers == <<written, leads, process, stood, voting, said, recorded, proposed, ballots, counted, told, way>>

Now == Lines[line]
Must(what, why) == IF what THEN TRUE ELSE PrintT(<<"refused", Now.n, why>>) /\ FALSE

TraceInit ==
  /\ Init
  /\ line = 1
  /\ written = [t \in Term |-> <<>>]
  /\ leads = [t \in Term |-> None]
  /\ process = [v \in Voter |-> 0]
  /\ stood = {}
  /\ voting = [v \in Voter |-> <<0, None>>]
  /\ said = [v \in Voter |-> <<0, None>>]
  /\ recorded = First
  /\ proposed = {}
  /\ ballots = {}
  /\ counted = [m \in Master |-> {}]
  /\ told = [m \in Master |-> NoRecord]
  /\ way = {}

(***************************************************************************)
(* Starts.                                                                 *)
(***************************************************************************)
Starts(v) ==
  /\ IF v = Witness THEN UNCHANGED <<vars, counted>>
     ELSE Restart(v) /\ counted' = [counted EXCEPT ![v] = {}]
  /\ process' = [process EXCEPT ![v] = @ + 1]
  /\ UNCHANGED <<written, leads, stood, voting, said, recorded, proposed, ballots, told, way>>

KeepsItsVote(v) == Must(said[v][1] < Now.term \/ said[v] = <<Now.term, Now.vote>>, "has forgotten a vote that it told")

\* What its disk still held: less than it had, when that was not synced and
\* nobody had been told. The commit index is but a hint.
Reads(m) ==
  /\ KeepsItsVote(m)
  /\ Must(\A n \in 1..Len(Now.log) : Len(written[Now.log[n]]) >= n, "starts with what nobody wrote")
  /\ Must(Now.commit <= Len(committed) /\ Now.commit <= Len(Now.log), "starts with what nobody committed")
  /\ term' = [term EXCEPT ![m] = Now.term]
  /\ voted' = [voted EXCEPT ![m] = Now.vote]
  /\ voting' = [voting EXCEPT ![m] = <<Now.term, Now.vote>>]
  /\ log' = [log EXCEPT ![m] = Now.log]
  /\ commit' = [commit EXCEPT ![m] = Now.commit]
  /\ UNCHANGED <<reg, role, leading, asked, taken, mail, committed, written, leads, process, stood, said, recorded,
                 proposed, ballots, counted, told, way>>

WitnessReads ==
  /\ KeepsItsVote(Witness)
  /\ Must(Now.record = recorded \/ Later(Now.record, recorded), "has forgotten a record that it told")
  /\ Must(Now.record \in proposed \cup {First}, "starts with a record that nobody made")
  /\ term' = [term EXCEPT ![Witness] = Now.term]
  /\ voted' = [voted EXCEPT ![Witness] = Now.vote]
  /\ voting' = [voting EXCEPT ![Witness] = <<Now.term, Now.vote>>]
  /\ reg' = Now.record
  /\ asked' = {r \in proposed : Later(r, Now.record) /\ r.t >= Now.term}
  /\ UNCHANGED <<log, role, commit, leading, taken, mail, committed, written, leads, process, stood, said, recorded,
                 proposed, ballots, counted, told, way>>

(***************************************************************************)
(* Elections: Campaign, and Hear of InSync.tla in its parts.               *)
(***************************************************************************)
Stands(m) ==
  /\ Must(role[m] # "leader", "leads and stands for election")
  /\ Must(Now.term = term[m] + 1, "stands in a term that is not the next")
  /\ Campaign(m)
  /\ stood' = stood \cup {<<m, Now.term, LastTerm(log[m]), Len(log[m])>>}
  /\ voting' = [voting EXCEPT ![m] = <<Now.term, m>>]
  /\ counted' = [counted EXCEPT ![m] = {m}]
  /\ told' = [told EXCEPT ![m] = NoRecord]
  /\ UNCHANGED <<written, leads, process, said, recorded, proposed, ballots, way>>

Follows(m, t) ==
  /\ term' = [term EXCEPT ![m] = t]
  /\ role' = [role EXCEPT ![m] = "follower"]
  /\ need' = Nothing(need, m, {})
  /\ match' = Nothing(match, m, 0)
  /\ known' = Nothing(known, m, NoRecord)
  /\ made' = Nothing(made, m, NoRecord)
  /\ mark' = Nothing(mark, m, 0)
  /\ Leave(m)
  /\ UNCHANGED <<reg, log, commit, asked, committed>>

HearsTerm(v) ==
  /\ Must(Now.term > term[v], "its term falls")
  /\ voted' = [voted EXCEPT ![v] = None]
  /\ IF v \in Master THEN Follows(v, Now.term)
     ELSE /\ term' = [term EXCEPT ![v] = Now.term]
          /\ asked' = StillAsked(Now.term, reg)
          /\ UNCHANGED <<reg, log, role, commit, leading, taken, mail, committed>>
  /\ UNCHANGED papers

StepsDown(m) ==
  /\ Must(role[m] = "leader", "does not lead, and steps down")
  /\ Follows(m, term[m])
  /\ UNCHANGED <<voted, papers>>

Votes(v) ==
  LET i == Now.for  t == Now.term
  IN
  /\ Must(term[v] = t, "votes in a term that is not its own")
  /\ Must(voting[v][1] < t \/ voting[v] \in {<<t, None>>, <<t, i>>}, "votes twice in a term")
  /\ IF v = Witness
     THEN Must(i \in reg.set, "votes for one whom its record does not name (31)")
     ELSE /\ Must(role[v] # "leader", "leads, and votes for another")
          /\ Must(\E s \in stood : /\ s[1] = i /\ s[2] = t
                                   /\ s[3] > LastTerm(log[v]) \/ (s[3] = LastTerm(log[v]) /\ s[4] >= Len(log[v])),
                  "votes for a log that ends before its own (40)")
  /\ voting' = [voting EXCEPT ![v] = <<t, i>>]
  /\ voted' = [voted EXCEPT ![v] = i]
  /\ ballots' = {b \in ballots : <<b.from, b.for, b.term, b.process>> # <<v, i, t, Now.process>>}
                \cup {[from |-> v, for |-> i, term |-> t, process |-> Now.process,
                       record |-> IF v = Witness THEN reg ELSE NoRecord]}
  /\ UNCHANGED <<term, reg, log, role, commit, leading, asked, taken, mail, committed, written, leads, process, stood, said,
                 recorded, proposed, counted, told, way>>

Says(v) ==
  /\ Must(voting[v] = <<Now.term, Now.for>> \/ voting[v][1] > Now.term, "tells a vote that it did not give")
  /\ said' = [said EXCEPT ![v] = IF @[1] > Now.term THEN @ ELSE <<Now.term, Now.for>>]
  /\ UNCHANGED <<vars, written, leads, process, stood, voting, recorded, proposed, ballots, counted, told, way>>

Counted(i) ==
  LET mine == {b \in ballots : b.from = Now.from /\ b.for = i /\ b.term = Now.term /\ b.process = process[i]}
      good == Now.process = process[i] /\ role[i] = "candidate" /\ term[i] = Now.term /\ Now.from \notin counted[i]
  IN
  /\ IF mine # {} /\ good
     THEN LET b == CHOOSE b \in mine : TRUE
          IN /\ counted' = [counted EXCEPT ![i] = @ \cup {Now.from}]
             /\ told' = IF Now.from = Witness THEN [told EXCEPT ![i] = b.record] ELSE told
     ELSE UNCHANGED <<counted, told>>
  /\ UNCHANGED <<vars, written, leads, process, stood, voting, said, recorded, proposed, ballots, way>>

\* Elected by the witness: its record. By the other master alone: both (43).
Leads(m) ==
  LET t == Now.term
      by == Witness \in counted[m]
  IN
  /\ Must(role[m] = "candidate" /\ term[m] = t, "leads without having stood")
  /\ Must(Cardinality(counted[m]) >= 2, "leads without a majority of votes")
  /\ Must(leads[t] = None, "leads a term that another led (I1)")
  /\ Must(IsPrefix(committed, log[m]), "leads without all that is committed (I4)")
  /\ role' = [role EXCEPT ![m] = "leader"]
  /\ need' = [need EXCEPT ![m] = IF by THEN told[m].set \cup {m} ELSE Master]
  /\ match' = [match EXCEPT ![m] = 0]
  /\ known' = [known EXCEPT ![m] = IF by THEN told[m] ELSE NoRecord]
  /\ made' = [made EXCEPT ![m] = NoRecord]
  /\ mark' = [mark EXCEPT ![m] = Len(log[m])]
  /\ leads' = [leads EXCEPT ![t] = m]
  /\ written' = [written EXCEPT ![t] = log[m]]
  /\ UNCHANGED <<term, voted, reg, log, commit, asked, taken, mail, committed, process, stood, voting, said, recorded,
                 proposed, ballots, counted, told, way>>

(***************************************************************************)
(* The log: Write, Commit, and Beat of InSync.tla in its parts.            *)
(***************************************************************************)
Writes(l) ==
  /\ Must(role[l] = "leader" /\ term[l] = Now.term, "writes and does not lead")
  /\ Must(Now.index = Len(log[l]) + 1, "writes at a place that is not the next")
  /\ Write(l)
  /\ written' = [written EXCEPT ![Now.term] = log'[l]]
  /\ UNCHANGED <<leads, process, stood, voting, said, recorded, proposed, ballots, counted, told, way>>

Takes(m) ==
  LET l == Now.from  t == Now.term
  IN
  /\ Must(term[m] <= t, "answers a leader of an earlier term")
  /\ Must(leads[t] = l, "takes an append of one who did not lead the term")
  /\ Must(role[m] # "leader" \/ term[m] < t, "leads, and takes an append of its term (I1)")
  /\ Must(Now.equal <= Len(written[t]), "takes what its leader never wrote")
  /\ Must(Now.commit <= Len(committed), "holds for committed what nobody committed")
  /\ Take(m, l, t, SubSeq(written[t], 1, Now.equal), Now.commit)
  /\ match' = [match EXCEPT ![m] = 0]
  /\ Must(IsPrefix(SubSeq(log[m], 1, commit[m]), log'[m]), "cuts off what is committed (I3)")
  /\ way' = way \cup {[from |-> m, to |-> l, term |-> t, id |-> Now.id, match |-> Now.match]}
  /\ UNCHANGED <<written, leads, process, stood, voting, said, recorded, proposed, ballots, counted, told>>

Hears(l) ==
  LET mine == {a \in way : a.from = Now.from /\ a.to = l /\ a.term = term[l] /\ a.id = Now.id /\ a.match = Now.match}
  IN
  /\ IF mine # {} /\ role[l] = "leader"
     THEN way' = way \ mine /\ match' = [match EXCEPT ![l] = Max(@, Now.match)]
     ELSE UNCHANGED <<way, match>>
  /\ UNCHANGED <<term, voted, reg, log, role, commit, need, known, made, mark, asked, taken, mail, committed, written, leads,
                 process, stood, voting, said, recorded, proposed, ballots, counted, told>>

Commits(l) ==
  /\ Must(role[l] = "leader", "commits and does not lead")
  /\ Must(Now.index \in 1..Len(log[l]) /\ log[l][Now.index] = term[l], "commits an older entry by count (I7)")
  /\ Must(need[l] \subseteq {l} \/ match[l] >= Now.index, "commits what not all have that it needs")
  /\ Commit(l, Now.index)
  /\ Must(I3_CommittedStays', "two masters commit different entries (I3)")
  /\ Must(I13_RegisteredHaveAll', "one whom the witness would vote for lacks what is committed (I13)")
  /\ UNCHANGED papers

Knows(m) ==
  /\ Must(Now.index <= Len(committed) /\ IsPrefix(SubSeq(log[m], 1, Now.index), committed),
          "holds for committed what nobody committed")
  /\ commit' = [commit EXCEPT ![m] = Max(@, Now.index)]
  /\ UNCHANGED <<term, voted, reg, log, role, leading, asked, taken, mail, committed, papers>>

(***************************************************************************)
(* The register.                                                           *)
(***************************************************************************)
Proposes(l) ==
  LET set == Now.record.set
  IN
  /\ Must(role[l] = "leader" /\ Now.record = [t |-> term[l], n |-> made[l].n + 1, set |-> set],
          "makes a record that is not its next one")
  /\ Must(made[l] = NoRecord \/ made[l] = known[l], "makes a record while another is on its way")
  /\ Must(set = {l} \/ need[l] = Master, "records both, and does not need both (38)")
  /\ Must(set = {l} \/ match[l] >= mark[l], "records both, and the other has not caught up (35, 36)")
  /\ Propose(l, set)
  /\ proposed' = proposed \cup {Now.record}
  /\ UNCHANGED <<written, leads, process, stood, voting, said, recorded, ballots, counted, told, way>>

Registers ==
  LET r == Now.record
  IN
  /\ Must(r \in proposed, "takes a record that nobody made")
  /\ Must(r.t >= term[Witness], "takes a record of a lower term (33)")
  /\ Must(r = reg \/ Later(r, reg), "takes a record that was overtaken (42)")
  /\ IF r # reg THEN Register(r)
     ELSE /\ taken' = taken \cup {r}
          /\ UNCHANGED <<term, voted, reg, log, role, commit, leading, asked, mail, committed>>
  /\ UNCHANGED papers

\* Its answer is on the wire: from now on it must never forget it.
Tells ==
  /\ Must(Now.record = reg \/ Later(reg, Now.record), "tells a record that it does not have")
  /\ recorded' = IF Later(Now.record, recorded) THEN Now.record ELSE recorded
  /\ UNCHANGED <<vars, written, leads, process, stood, voting, said, proposed, ballots, counted, told, way>>

Confirms(l) ==
  /\ Must(role[l] = "leader" /\ made[l] \in taken, "goes by a record that the witness has not taken (32)")
  /\ Must(made[l] = recorded \/ Later(recorded, made[l]), "goes by a record that the witness has not told (32)")
  /\ Confirm(l)
  /\ UNCHANGED papers

NeedsBoth(l) == Require(l) /\ UNCHANGED papers

NeedsItself(l) ==
  /\ Must(known[l].set = {l}, "goes alone, and the witness has not recorded it (32)")
  /\ Must(made[l] = NoRecord \/ made[l] = known[l], "goes alone while a record of both is on its way (45)")
  /\ Unrequire(l)
  /\ UNCHANGED papers

(***************************************************************************)
(* The next line, and what its voter's status says after it.               *)
(***************************************************************************)
Explained ==
  LET v == Now.who
  IN CASE Now.what = "start" -> Starts(v)
       [] Now.what = "disk" -> IF v = Witness THEN WitnessReads ELSE Reads(v)
       [] Now.what = "campaign" -> Stands(v)
       [] Now.what = "term" -> HearsTerm(v)
       [] Now.what = "down" -> StepsDown(v)
       [] Now.what = "vote" -> Votes(v)
       [] Now.what = "said" -> Says(v)
       [] Now.what = "count" -> Counted(v)
       [] Now.what = "lead" -> Leads(v)
       [] Now.what = "write" -> Writes(v)
       [] Now.what = "take" -> Takes(v)
       [] Now.what = "ack" -> Hears(v)
       [] Now.what = "commit" -> Commits(v)
       [] Now.what = "know" -> Knows(v)
       [] Now.what = "propose" -> Proposes(v)
       [] Now.what = "register" -> Registers
       [] Now.what = "recorded" -> Tells
       [] Now.what = "confirm" -> Confirms(v)
       [] Now.what = "require" -> NeedsBoth(v)
       [] Now.what = "unrequire" -> NeedsItself(v)

AsTold(is) ==
  LET v == Now.who
  IN /\ Must(term'[v] = is[1], <<"its term is", is[1], "and should be", term'[v]>>)
     /\ IF v = Witness THEN Must("record" \notin DOMAIN Now \/ reg' = Now.record, <<"its record should be", reg'>>)
        ELSE /\ Must((role'[v] = "leader") = (is[2] = 1), <<"it leads or not, and should be a", role'[v]>>)
             /\ Must(Len(log'[v]) = is[3] /\ LastTerm(log'[v]) = is[4],
                     <<"its log ends at", is[3], "of term", is[4], "and should at", Len(log'[v]), "of", LastTerm(log'[v])>>)
             /\ Must(commit'[v] = is[5], <<"its commit index is", is[5], "and should be", commit'[v]>>)
             /\ IF "needs" \in DOMAIN Now THEN Must(need'[v] = Now.needs, <<"it needs", Now.needs, "and should", need'[v]>>)
                ELSE TRUE

NextLine ==
  /\ line <= Len(Lines)
  /\ Explained
  /\ IF Now.is = <<>> THEN TRUE ELSE AsTold(Now.is)
  /\ line' = line + 1

TraceSpec == TraceInit /\ [][NextLine]_<<vars, line, papers>>
=============================================================================
