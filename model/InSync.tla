------------------------------- MODULE InSync -------------------------------
(***************************************************************************)
(* Two masters and a witness that keeps the in-sync register, as           *)
(* raft-and-leases section 5 has it and src/core/raft does it.  The        *)
(* masters hold the log, the witness holds its term, its vote and one      *)
(* record: whose disks hold all that is committed, as said by the leader   *)
(* of a term in its n-th record.  Later is (term, n) compared in this      *)
(* order.                                                                  *)
(*                                                                         *)
(* Commit = durable on all that the leader needs.  A leader that has lost  *)
(* the other master makes the set smaller: the witness has the record, and *)
(* only then it commits alone.  It makes the set larger when the other is  *)
(* back: first it requires the other's acks, then the other catches up to  *)
(* where the log ended then, then comes the record.  The witness votes for *)
(* members of its record's set only.                                       *)
(*                                                                         *)
(* What must hold: no two masters commit different entries (I3), a leader  *)
(* has all that was committed before (I4), whoever the register names has  *)
(* all that is committed (I13).  Time has no part in it, so there is none. *)
(*                                                                         *)
(* Masters keep no copy of the record.  A leader knows it from the         *)
(* witness's vote, or from its answer to a record of the leader's own;     *)
(* elected by the other master alone it knows nothing and needs both.      *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Master,      \* the two masters; model values, a symmetry set
  Witness,
  MaxTerm, MaxAppends,
  MaxRecords,  \* of one leader in its term
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
  reg,          \* the witness's record
  log,          \* [master -> terms of its entries]
  \* Volatile, of masters.
  role, commit,
  need,         \* leaders: whose disks a commit waits for
  match,        \* leaders: how much of its log the other has
  known,        \* leaders: the record that the witness surely has, or NoRecord
  made,         \* leaders: the last record of its own, or NoRecord
  mark,         \* leaders: where its log ended when it began to need both
  \* On the network, or has happened.
  asked,        \* records on their way to the witness
  taken,        \* records the witness took, as its acks say
  mail,         \* [t -> what a leader that leads no more had sent]
  committed

vars == <<term, voted, reg, log, role, commit, need, match, known, made, mark, asked, taken, mail, committed>>
leading == <<need, match, known, made, mark>>

NoRecord == [t |-> 0, n |-> 0, set |-> {}]
First    == [t |-> 0, n |-> 0, set |-> Master]
NoMail   == [from |-> None, log |-> <<>>, commit |-> 0]
Later(r, s) == r.t > s.t \/ (r.t = s.t /\ r.n > s.n)

IsPrefix(p, s) == Len(p) <= Len(s) /\ \A n \in 1..Len(p) : p[n] = s[n]
LastTerm(s) == IF s = <<>> THEN 0 ELSE s[Len(s)]
UpToDate(a, b) == \/ LastTerm(a) > LastTerm(b)
                  \/ LastTerm(a) = LastTerm(b) /\ Len(a) >= Len(b)

Init ==
  /\ term = [v \in Voter |-> 0]
  /\ voted = [v \in Voter |-> None]
  /\ reg = First
  /\ log = [m \in Master |-> <<>>]
  /\ role = [m \in Master |-> "follower"]
  /\ commit = [m \in Master |-> 0]
  /\ need = [m \in Master |-> {}]
  /\ match = [m \in Master |-> 0]
  /\ known = [m \in Master |-> NoRecord]
  /\ made = [m \in Master |-> NoRecord]
  /\ mark = [m \in Master |-> 0]
  /\ asked = {}
  /\ taken = {}
  /\ mail = [t \in Term |-> NoMail]
  /\ committed = <<>>

\* m leads no more; what it had sent may still arrive, as long as the other
\* would take it. (Comes after term'.) Acks for it are for nobody.
Leave(m) ==
  /\ mail' = [t \in Term |->
       LET now == IF role[m] = "leader" /\ t = term[m] /\ LateMail
                  THEN [from |-> m, log |-> log[m], commit |-> commit[m]] ELSE mail[t]
       IN  IF now.from # None /\ term'[Other(now.from)] <= t /\ t < MaxTerm THEN now ELSE NoMail]
  /\ taken' = IF role[m] = "leader" THEN {r \in taken : r.t # term[m]} ELSE taken

\* What m knew as a leader; `kept` is what the mutant that trusts it keeps.
Nothing(f, m, none) == [f EXCEPT ![m] = none]
Kept(m) == IF Is("37-own-record-trusted") THEN made[m] ELSE NoRecord

\* What the witness would refuse for ever need not be kept.
StillAsked(t, last) ==
  {r \in asked : \/ Is("42-older-record-taken") /\ r.t >= t
                 \/ Later(r, last) /\ (r.t >= t \/ Is("33-record-of-lower-term"))}

Campaign(m) ==
  /\ role[m] # "leader" /\ term[m] < MaxTerm
  /\ term' = [term EXCEPT ![m] = @ + 1]
  /\ voted' = [voted EXCEPT ![m] = m]
  /\ role' = [role EXCEPT ![m] = "candidate"]
  /\ Leave(m)
  /\ UNCHANGED <<reg, log, commit, leading, asked, committed>>

\* The witness looks at its record, a master at the logs.
MayVote(v, m) ==
  IF v = Witness THEN m \in reg.set \/ Is("31-vote-for-anyone")
  ELSE UpToDate(log[m], log[v]) \/ Is("40-log-not-compared")

\* v hears candidate m. Its vote makes a majority.
Hear(v, m) ==
  /\ v # m /\ role[m] = "candidate"
  /\ term[v] < term[m] \/ (term[v] = term[m] /\ voted[v] = None)
  /\ LET yes == MayVote(v, m)
         wins == yes /\ role[m] = "candidate"
         told == IF v = Witness THEN reg ELSE NoRecord
         count == IF Is("37-own-record-trusted") /\ made[m] # NoRecord THEN made[m].set
                  ELSE IF Is("43-elected-by-master-needs-itself") /\ v # Witness THEN {m}
                  ELSE IF v = Witness THEN reg.set \cup {m}
                  ELSE Master
     IN /\ term[v] = term[m] => yes
        /\ term' = [term EXCEPT ![v] = term[m]]
        /\ voted' = [voted EXCEPT ![v] = IF yes THEN m ELSE None]
        /\ role' = [o \in Master |-> IF o = v THEN "follower" ELSE IF o = m /\ wins THEN "leader" ELSE role[o]]
        /\ need' = [o \in Master |-> IF o = v THEN {} ELSE IF o = m /\ wins THEN count ELSE need[o]]
        /\ match' = [o \in Master |-> IF o = v \/ (o = m /\ wins) THEN 0 ELSE match[o]]
        /\ known' = [o \in Master |-> IF o = v THEN NoRecord ELSE IF o = m /\ wins THEN told ELSE known[o]]
        /\ made' = [o \in Master |-> IF o = v THEN Kept(o) ELSE IF o = m /\ wins THEN NoRecord ELSE made[o]]
        /\ mark' = [o \in Master |-> IF o = v THEN 0 ELSE IF o = m /\ wins THEN Len(log[m]) ELSE mark[o]]
        /\ IF v \in Master THEN Leave(v) /\ UNCHANGED asked
           ELSE asked' = StillAsked(term[m], reg) /\ UNCHANGED <<mail, taken>>
  /\ UNCHANGED <<reg, log, commit, committed>>

Write(l) ==
  /\ role[l] = "leader"
  /\ Cardinality({n \in 1..Len(log[l]) : log[l][n] = term[l]}) < MaxAppends
  /\ log' = [log EXCEPT ![l] = Append(@, term[l])]
  /\ UNCHANGED <<term, voted, reg, role, commit, leading, asked, taken, mail, committed>>

\* m takes an append of term t from l.
Take(m, l, t, entries, c) ==
  /\ term' = [term EXCEPT ![m] = t]
  /\ voted' = [voted EXCEPT ![m] = IF term[m] < t \/ @ = None THEN l ELSE @]
  /\ role' = [role EXCEPT ![m] = "follower"]
  /\ log' = [log EXCEPT ![m] = IF IsPrefix(entries, @) THEN @ ELSE entries]
  /\ commit' = [commit EXCEPT ![m] = Max(@, Min(c, Len(entries)))]
  /\ need' = Nothing(need, m, {})
  /\ known' = Nothing(known, m, NoRecord)
  /\ made' = Nothing(made, m, Kept(m))
  /\ mark' = Nothing(mark, m, 0)
  /\ Leave(m)
  /\ UNCHANGED <<reg, asked, committed>>

\* l sends the first n entries, the other takes them, the ack arrives.
Beat(l, n) ==
  LET m == Other(l)
  IN /\ role[l] = "leader" /\ term[m] <= term[l]
     /\ Take(m, l, term[l], SubSeq(log[l], 1, n), commit[l])
     /\ match' = [match EXCEPT ![m] = 0, ![l] = Max(@, n)]

Late(m, t, n, c) ==
  /\ mail[t].from \notin {None, m} /\ term[m] <= t
  /\ Take(m, mail[t].from, t, SubSeq(mail[t].log, 1, n), c)
  /\ match' = [match EXCEPT ![m] = 0]

\* The witness hears of the leader's term.
BeatWitness(l) ==
  /\ role[l] = "leader" /\ term[Witness] < term[l]
  /\ term' = [term EXCEPT ![Witness] = term[l]]
  /\ voted' = [voted EXCEPT ![Witness] = l]
  /\ asked' = StillAsked(term[l], reg)
  /\ UNCHANGED <<reg, log, role, commit, leading, taken, mail, committed>>

\* Rule 1.
Commit(l, n) ==
  /\ role[l] = "leader" /\ n > commit[l] /\ log[l][n] = term[l]
  /\ need[l] \subseteq {l} \/ match[l] >= n
  /\ commit' = [commit EXCEPT ![l] = n]
  /\ LET now == SubSeq(log[l], 1, n)
     IN  committed' = IF IsPrefix(committed, now) THEN now ELSE committed
  /\ UNCHANGED <<term, voted, reg, log, role, leading, asked, taken, mail>>

\* Rules 2 and 4: a record, to the witness.
Propose(l, set) ==
  LET new == [t |-> term[l], n |-> made[l].n + 1, set |-> set]
  IN /\ role[l] = "leader" /\ made[l].n < MaxRecords
     /\ made[l] = NoRecord \/ made[l] = known[l] \/ Is("44-several-records-at-once")
     /\ known[l].set # set
     /\ set = {l} => Other(l) \in need[l]
     /\ set = Master =>
          /\ need[l] = Master \/ Is("38-no-acks-required-first")
          /\ \/ match[l] >= mark[l]
             \/ Is("35-not-caught-up")
             \/ Is("36-caught-up-to-known-commit") /\ match[l] >= commit[l]
     /\ made' = [made EXCEPT ![l] = new]
     /\ asked' = asked \cup {new}
     /\ need' = IF Is("32-commits-before-witness-has-it") THEN [need EXCEPT ![l] = set] ELSE need
  /\ taken' = {r \in taken : r.t # term[l]}
  /\ UNCHANGED <<term, voted, reg, log, role, commit, match, known, mark, mail, committed>>

\* The witness takes a later record, unless it has seen a higher term.
Register(r) ==
  /\ r \in asked /\ r # reg
  /\ Later(r, reg) \/ Is("42-older-record-taken")
  /\ r.t >= term[Witness] \/ Is("33-record-of-lower-term")
  /\ reg' = r
  /\ term' = [term EXCEPT ![Witness] = Max(@, r.t)]
  /\ voted' = [voted EXCEPT ![Witness] = IF term[Witness] < r.t THEN None ELSE @]
  /\ taken' = IF \E m \in Master : role[m] = "leader" /\ made[m] = r THEN taken \cup {r} ELSE taken
  /\ asked' = StillAsked(Max(term[Witness], r.t), r)
  /\ UNCHANGED <<log, role, commit, leading, mail, committed>>

\* The witness's ack arrives: the record is in force, for what comes.
Confirm(l) ==
  /\ role[l] = "leader" /\ made[l] \in taken /\ known[l] # made[l]
  /\ known' = [known EXCEPT ![l] = made[l]]
  /\ need' = [need EXCEPT ![l] = made[l].set]
  /\ UNCHANGED <<term, voted, reg, log, role, commit, match, made, mark, asked, taken, mail, committed>>

\* Rule 4, first half: from now on the other's acks are required.
Require(l) ==
  /\ role[l] = "leader" /\ need[l] # Master
  /\ need' = [need EXCEPT ![l] = Master]
  /\ mark' = [mark EXCEPT ![l] = Len(log[l])]
  /\ UNCHANGED <<term, voted, reg, log, role, commit, match, known, made, asked, taken, mail, committed>>

\* The other is gone again before a record of both was made: as it was.
Unrequire(l) ==
  /\ role[l] = "leader" /\ need[l] = Master /\ known[l].set = {l}
  /\ made[l] = NoRecord \/ made[l] = known[l] \/ Is("45-given-up-while-asked")
  /\ need' = [need EXCEPT ![l] = {l}]
  /\ UNCHANGED <<term, voted, reg, log, role, commit, match, known, made, mark, asked, taken, mail, committed>>

Restart(m) ==
  /\ role' = [role EXCEPT ![m] = "follower"]
  /\ commit' = [commit EXCEPT ![m] = 0]
  /\ need' = Nothing(need, m, {})
  /\ match' = Nothing(match, m, 0)
  /\ known' = Nothing(known, m, NoRecord)
  /\ made' = Nothing(made, m, Kept(m))
  /\ mark' = Nothing(mark, m, 0)
  /\ UNCHANGED <<term, voted, reg, log, asked, committed>>
  /\ Leave(m)

\* Only in mutants does the witness forget anything when it starts again.
Forget ==
  \/ /\ Is("39-register-forgotten") /\ reg # First
     /\ reg' = First
     /\ UNCHANGED <<term, voted, log, role, commit, leading, asked, taken, mail, committed>>
  \/ /\ Is("41-vote-forgotten") /\ voted[Witness] # None
     /\ voted' = [voted EXCEPT ![Witness] = None]
     /\ UNCHANGED <<term, reg, log, role, commit, leading, asked, taken, mail, committed>>

Next ==
  \/ Forget
  \/ \E r \in asked : Register(r)
  \/ \E m \in Master :
       \/ Campaign(m) \/ Write(m) \/ Restart(m) \/ BeatWitness(m) \/ Confirm(m) \/ Require(m) \/ Unrequire(m)
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
  \A m \in reg.set : IsPrefix(committed, log[m])

\* Vacuity: each of these must be found false.
Never_CommitAlone ==
  ~\E m \in Master : role[m] = "leader" /\ commit[m] > 0 /\ log[Other(m)] = <<>>
Never_RefusedForLoss ==
  ~\E m \in Master : role[m] = "candidate" /\ term[m] >= term[Witness] /\ m \notin reg.set
                     /\ ~IsPrefix(committed, log[m])
\* A set of one, of two and of one again, across an election, and commits alone
\* with nothing of before missing.
Never_SmallLargeSmall ==
  ~\E m \in Master : role[m] = "leader" /\ need[m] = {m} /\ reg.set = {m} /\ reg.n >= 2
                     /\ commit[m] >= 2 /\ log[m][commit[m]] = term[m] /\ log[m][1] # term[m]
Never_BothAfterAlone ==
  ~\E m \in Master : role[m] = "leader" /\ reg.set = Master /\ reg.n = 2 /\ reg.t = term[m] /\ commit[m] >= 2

Symmetry == Permutations(Master)
=============================================================================
