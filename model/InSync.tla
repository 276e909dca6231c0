------------------------------- MODULE InSync -------------------------------
(***************************************************************************)
(* Two masters and a witness that keeps the in-sync register, as           *)
(* raft-and-leases section 5 has it.  The masters hold the log, the        *)
(* witness holds its term, its vote and one record (epoch, set, term).     *)
(*                                                                         *)
(* Commit = durable on all of the set.  A leader that has lost the other   *)
(* master makes the set smaller: the record on its own disk, then at the   *)
(* witness, and only then it commits alone.  It makes the set larger when  *)
(* the other is back: first it requires the other's acks, then the other   *)
(* catches up, then comes the record.  Votes go to members of the newest   *)
(* set only.                                                               *)
(*                                                                         *)
(* What must hold: no two masters commit different entries (I3), a leader  *)
(* has all that was committed before (I4), whoever the register names has  *)
(* all that is committed (I13).  Time has no part in it, so there is none. *)
(*                                                                         *)
(* Three things the page leaves open are decided here; README.md says more:*)
(* a leader of a new term counts on whom its own record names and on whom  *)
(* the witness's record names, told with the vote, until a record of its   *)
(* own term is confirmed; "caught up" is the end of the log, not the known *)
(* commit index; a follower takes over the record of the leader it follows.*)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Master,      \* the two masters; model values, a symmetry set
  Witness,
  MaxTerm, MaxAppends,
  MaxEpoch,    \* records made
  LateMail,    \* whether appends of one who leads no more arrive
  Mutant       \* "none", or the rule that is left out

None == "none"
ASSUME Cardinality(Master) = 2 /\ Witness \notin Master

Is(m) == Mutant = m
Max(a, b) == IF a > b THEN a ELSE b
Min(a, b) == IF a < b THEN a ELSE b
Voter == Master \cup {Witness}
Term  == 1..MaxTerm
Other(m) == CHOOSE o \in Master : o # m

VARIABLES
  \* Durable.
  term, voted,  \* of every voter
  rec,          \* [voter -> record]
  log,          \* [master -> terms of its entries]
  \* Volatile, of masters.
  role, commit,
  need,         \* leaders: whose disks a commit waits for
  match,        \* leaders: how much of its log the other has
  \* On the network, or has happened.
  asked,        \* records on their way to the witness
  taken,        \* records the witness took, as its acks say
  mail,         \* [t -> what a leader that leads no more had sent]
  committed

vars == <<term, voted, rec, log, role, commit, need, match, asked, taken, mail, committed>>

First  == [e |-> 0, set |-> Master, t |-> 0]
NoMail == [from |-> None, log |-> <<>>, commit |-> 0, rec |-> First]

IsPrefix(p, s) == Len(p) <= Len(s) /\ \A n \in 1..Len(p) : p[n] = s[n]
LastTerm(s) == IF s = <<>> THEN 0 ELSE s[Len(s)]
UpToDate(a, b) == \/ LastTerm(a) > LastTerm(b)
                  \/ LastTerm(a) = LastTerm(b) /\ Len(a) >= Len(b)

Init ==
  /\ term = [v \in Voter |-> 0]
  /\ voted = [v \in Voter |-> None]
  /\ rec = [v \in Voter |-> First]
  /\ log = [m \in Master |-> <<>>]
  /\ role = [m \in Master |-> "follower"]
  /\ commit = [m \in Master |-> 0]
  /\ need = [m \in Master |-> {}]
  /\ match = [m \in Master |-> 0]
  /\ asked = {}
  /\ taken = {}
  /\ mail = [t \in Term |-> NoMail]
  /\ committed = <<>>

\* m leads no more; what it had sent may still arrive, as long as the other
\* would take it. (Comes after term'.) Acks for it are for nobody.
Leave(m) ==
  /\ mail' = [t \in Term |->
       LET now == IF role[m] = "leader" /\ t = term[m] /\ LateMail
                  THEN [from |-> m, log |-> log[m], commit |-> commit[m], rec |-> rec[m]] ELSE mail[t]
       IN  IF now.from # None /\ term'[Other(now.from)] <= t /\ t < MaxTerm THEN now ELSE NoMail]
  /\ taken' = IF role[m] = "leader" THEN {r \in taken : r.t # term[m]} ELSE taken

\* What the witness would refuse for ever need not be kept.
StillAsked(t, e) == {r \in asked : r.e > e /\ (r.t >= t \/ Is("33-record-of-lower-term"))}

Campaign(m) ==
  /\ role[m] # "leader" /\ term[m] < MaxTerm
  /\ m \in rec[m].set
  /\ term' = [term EXCEPT ![m] = @ + 1]
  /\ voted' = [voted EXCEPT ![m] = m]
  /\ role' = [role EXCEPT ![m] = "candidate"]
  /\ Leave(m)
  /\ UNCHANGED <<rec, log, commit, need, match, asked, committed>>

\* Rule 3, and for masters the comparison of logs.
MayVote(v, m) ==
  /\ m \in rec[v].set \/ Is("31-vote-for-anyone")
  /\ rec[m].e >= rec[v].e \/ Is("34-lower-epoch-elected")
  /\ v \in Master => UpToDate(log[m], log[v]) \/ Is("40-log-not-compared")

\* v hears candidate m. Its vote, which carries its record, makes a majority.
Hear(v, m) ==
  /\ v # m /\ role[m] = "candidate"
  /\ term[v] < term[m] \/ (term[v] = term[m] /\ voted[v] = None)
  /\ LET yes == MayVote(v, m)
         count == IF Is("37-own-record-trusted") THEN rec[m].set
                  ELSE IF v = Witness THEN rec[m].set \cup rec[Witness].set
                  ELSE Master
     IN /\ term[v] = term[m] => yes
        /\ term' = [term EXCEPT ![v] = term[m]]
        /\ voted' = [voted EXCEPT ![v] = IF yes THEN m ELSE None]
        /\ role' = [o \in Master |-> IF o = v THEN "follower" ELSE IF o = m /\ yes THEN "leader" ELSE role[o]]
        /\ need' = [o \in Master |-> IF o = v THEN {} ELSE IF o = m /\ yes THEN count ELSE need[o]]
        /\ match' = [o \in Master |-> IF o = v THEN 0 ELSE match[o]]
        /\ IF v \in Master THEN Leave(v) /\ UNCHANGED asked
           ELSE asked' = StillAsked(term[m], rec[v].e) /\ UNCHANGED <<mail, taken>>
  /\ UNCHANGED <<rec, log, commit, committed>>

Write(l) ==
  /\ role[l] = "leader"
  /\ Cardinality({n \in 1..Len(log[l]) : log[l][n] = term[l]}) < MaxAppends
  /\ log' = [log EXCEPT ![l] = Append(@, term[l])]
  /\ UNCHANGED <<term, voted, rec, role, commit, need, match, asked, taken, mail, committed>>

\* m takes an append of term t from l.
Take(m, l, t, entries, c, r) ==
  /\ term' = [term EXCEPT ![m] = t]
  /\ voted' = [voted EXCEPT ![m] = IF term[m] < t \/ @ = None THEN l ELSE @]
  /\ role' = [role EXCEPT ![m] = "follower"]
  /\ log' = [log EXCEPT ![m] = IF IsPrefix(entries, @) THEN @ ELSE entries]
  /\ commit' = [commit EXCEPT ![m] = Max(@, Min(c, Len(entries)))]
  /\ rec' = [rec EXCEPT ![m] = r]
  /\ need' = [need EXCEPT ![m] = {}]
  /\ Leave(m)
  /\ UNCHANGED <<asked, committed>>

\* l sends the first n entries, the other takes them, the ack arrives.
Beat(l, n) ==
  LET m == Other(l)
  IN /\ role[l] = "leader" /\ term[m] <= term[l]
     /\ Take(m, l, term[l], SubSeq(log[l], 1, n), commit[l], rec[l])
     /\ match' = [match EXCEPT ![m] = 0, ![l] = Max(@, n)]

Late(m, t, n, c) ==
  /\ mail[t].from \notin {None, m} /\ term[m] <= t
  /\ Take(m, mail[t].from, t, SubSeq(mail[t].log, 1, n), c, IF term[m] < t THEN mail[t].rec ELSE rec[m])
  /\ match' = [match EXCEPT ![m] = 0]

\* The witness hears of the leader's term.
BeatWitness(l) ==
  /\ role[l] = "leader" /\ term[Witness] < term[l]
  /\ term' = [term EXCEPT ![Witness] = term[l]]
  /\ voted' = [voted EXCEPT ![Witness] = l]
  /\ asked' = StillAsked(term[l], rec[Witness].e)
  /\ UNCHANGED <<rec, log, role, commit, need, match, taken, mail, committed>>

\* Rule 1.
Commit(l, n) ==
  /\ role[l] = "leader" /\ n > commit[l] /\ log[l][n] = term[l]
  /\ need[l] \subseteq {l} \/ match[l] >= n
  /\ commit' = [commit EXCEPT ![l] = n]
  /\ LET now == SubSeq(log[l], 1, n)
     IN  committed' = IF IsPrefix(committed, now) THEN now ELSE committed
  /\ UNCHANGED <<term, voted, rec, log, role, need, match, asked, taken, mail>>

\* Rules 2 and 4: a record on the leader's own disk, then to the witness.
Propose(l, set) ==
  LET new == [e |-> rec[l].e + 1, set |-> set, t |-> term[l]]
  IN /\ role[l] = "leader" /\ rec[l].e < MaxEpoch
     /\ rec[l].t = term[l] => rec[l] \in taken   \* one at a time
     /\ set = {l} => Other(l) \in need[l]
     /\ set = Master =>
          /\ need[l] = Master \/ Is("38-no-acks-required-first")
          /\ \/ match[l] = Len(log[l])
             \/ Is("35-not-caught-up")
             \/ Is("36-caught-up-to-known-commit") /\ match[l] >= commit[l]
          /\ rec[l].set # Master
     /\ rec' = [rec EXCEPT ![l] = new]
     /\ asked' = asked \cup {new}
     /\ need' = IF Is("32-commits-before-witness-has-it") THEN [need EXCEPT ![l] = set] ELSE need
  /\ taken' = {r \in taken : r.t # term[l]}
  /\ UNCHANGED <<term, voted, log, role, commit, match, mail, committed>>

\* The witness takes a record, unless it has seen a higher term.
Register(r) ==
  /\ r \in asked /\ r.e > rec[Witness].e
  /\ r.t >= term[Witness] \/ Is("33-record-of-lower-term")
  /\ rec' = [rec EXCEPT ![Witness] = r]
  /\ term' = [term EXCEPT ![Witness] = Max(@, r.t)]
  /\ voted' = [voted EXCEPT ![Witness] = IF term[Witness] < r.t THEN None ELSE @]
  /\ taken' = IF \E m \in Master : role[m] = "leader" /\ rec[m] = r THEN taken \cup {r} ELSE taken
  /\ asked' = StillAsked(Max(term[Witness], r.t), r.e)
  /\ UNCHANGED <<log, role, commit, need, match, mail, committed>>

\* The witness's ack arrives: the record is in force, for what comes.
Confirm(l) ==
  /\ role[l] = "leader" /\ rec[l] \in taken /\ rec[l].t = term[l]
  /\ need[l] # rec[l].set
  /\ need' = [need EXCEPT ![l] = rec[l].set]
  /\ UNCHANGED <<term, voted, rec, log, role, commit, match, asked, taken, mail, committed>>

\* Rule 4, first half: from now on the other's acks are required.
Require(l) ==
  /\ role[l] = "leader" /\ need[l] # Master
  /\ need' = [need EXCEPT ![l] = Master]
  /\ UNCHANGED <<term, voted, rec, log, role, commit, match, asked, taken, mail, committed>>

Restart(m) ==
  /\ role' = [role EXCEPT ![m] = "follower"]
  /\ commit' = [commit EXCEPT ![m] = 0]
  /\ need' = [need EXCEPT ![m] = {}]
  /\ match' = [match EXCEPT ![m] = 0]
  /\ UNCHANGED <<term, voted, rec, log, asked, committed>>
  /\ Leave(m)

\* Only in mutants does the witness forget anything when it starts again.
Forget ==
  \/ /\ Is("39-register-forgotten") /\ rec[Witness] # First
     /\ rec' = [rec EXCEPT ![Witness] = First]
     /\ UNCHANGED <<term, voted, log, role, commit, need, match, asked, taken, mail, committed>>
  \/ /\ Is("41-vote-forgotten") /\ voted[Witness] # None
     /\ voted' = [voted EXCEPT ![Witness] = None]
     /\ UNCHANGED <<term, rec, log, role, commit, need, match, asked, taken, mail, committed>>

Next ==
  \/ Forget
  \/ \E r \in asked : Register(r)
  \/ \E m \in Master :
       \/ Campaign(m) \/ Write(m) \/ Restart(m) \/ BeatWitness(m) \/ Confirm(m) \/ Require(m)
       \/ Propose(m, {m}) \/ Propose(m, Master)
       \/ \E v \in Voter : Hear(v, m)
       \/ \E n \in 0..Len(log[m]) : Beat(m, n)
       \/ \E n \in 1..Len(log[m]) : Commit(m, n)
       \/ \E t \in Term : \E n \in 0..Len(mail[t].log) : \E c \in 0..Min(n, mail[t].commit) : Late(m, t, n, c)

Spec == Init /\ [][Next]_vars

(***************************************************************************)
(* What must hold.                                                         *)
(***************************************************************************)
I1_OneLeaderPerTerm ==
  \A i, j \in Master : role[i] = "leader" /\ role[j] = "leader" /\ term[i] = term[j] => i = j

I3_CommittedStays ==
  \A m \in Master :
    /\ commit[m] <= Len(log[m])
    /\ \A n \in 1..Min(commit[m], Len(committed)) : log[m][n] = committed[n]

\* The last committed entry is of the term of the leader that committed it (I7).
I4_LeaderHasAllCommitted ==
  \A m \in Master : role[m] = "leader" /\ LastTerm(committed) <= term[m] => IsPrefix(committed, log[m])

I13_RegisteredHaveAll ==
  \A m \in rec[Witness].set : IsPrefix(committed, log[m])

\* Vacuity: each of these must be found false.
Never_CommitAlone ==
  ~\E m \in Master : role[m] = "leader" /\ commit[m] > 0 /\ log[Other(m)] = <<>>
Never_RefusedForLoss ==
  ~\E m \in Master : role[m] = "candidate" /\ term[m] >= term[Witness] /\ m \notin rec[Witness].set
                     /\ ~IsPrefix(committed, log[m])
\* A set of one, of two and of one again, across an election, and commits alone
\* with nothing of before missing.
Never_SmallLargeSmall ==
  ~\E m \in Master : role[m] = "leader" /\ need[m] = {m} /\ rec[Witness].set = {m} /\ rec[Witness].e >= 3
                     /\ commit[m] >= 2 /\ log[m][commit[m]] = term[m] /\ log[m][1] # term[m]
Never_UnfinishedShrinkOverruled ==
  ~\E m \in Master : role[m] = "leader" /\ rec[Other(m)].e > rec[m].e

Symmetry == Permutations(Master)
=============================================================================
