------------------------------- MODULE Leases -------------------------------
(***************************************************************************)
(* Leader leases by "vote now, commit later", as raft-and-leases section 2 *)
(* has them, over a Raft small enough to be searched through.              *)
(*                                                                         *)
(* A voter never withholds a vote for the sake of a lease.  It tells with  *)
(* its vote how much of each lease it granted may still run; the winner    *)
(* replicates at once and commits nothing until the longest of them is     *)
(* over, or until a release token says that its holder has stopped reading.*)
(*                                                                         *)
(* What must hold: no two servers commit different entries (I3), a served  *)
(* lease read answers with the last value committed by anyone (I8), two    *)
(* terms' leases overlap only while the newer commits nothing (I9).        *)
(*                                                                         *)
(* Time.  One Tick is one step of true time.  In each, every clock goes on *)
(* by Slow or by Fast units, as it likes, so that rates are an interval    *)
(* and may change at any moment: rho = (Fast-Slow)/(Fast+Slow), a unit of  *)
(* nominal time is (Fast+Slow)/2 of a clock.  A lease of D = Ticks ticks   *)
(* is then held for D*(1-rho) = Ticks*Slow units of the leader's clock,    *)
(* and R*(1+rho) for R = D - elapsed/(1+rho) is Ticks*Fast - elapsed.  All *)
(* are whole numbers: nothing is rounded.  Clocks are never compared, so   *)
(* the state keeps ages and times left instead of readings, and needs no   *)
(* bound on how long a run may take.                                       *)
(*                                                                         *)
(* The network loses, doubles, delays and reorders.  What that adds to the *)
(* state is cut down by one thought, used several times: of two things     *)
(* that may happen, one which allows all that the other allows later on    *)
(* makes the other superfluous.  README.md lists each use.                 *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Server,      \* the three voters
  Key,         \* what is read and written
  MaxTerm,     \* elections stop here
  MaxAppends,  \* entries one leader appends in its term
  NoOps,       \* whether an entry may also touch no key
  MaxEpoch,    \* hand-overs per term
  Slow, Fast,  \* units a clock goes on by in one tick
  Ticks,       \* length of a lease in ticks; D_cap is the same
  Restarts,    \* whether servers crash and start again
  Guardians,   \* whether certificates exist
  LateMail,    \* whether appends of one who leads no more arrive
  AckDelay,    \* whether acks take time
  TokensLost,  \* whether a token that may be said may also remain unsaid
  Random,      \* for random runs: what ends leases comes seldom, or none would live
  Mutant       \* "none", or the rule that is left out

None == "none"
NoKey == "nothing"

ASSUME /\ Cardinality(Server) = 3   \* LeaseHeld and Hear count on it
       /\ Slow > 0 /\ Slow <= Fast /\ Ticks > 0 /\ MaxTerm > 0

Is(m) == Mutant = m
Often == 1..(IF Random THEN 6 ELSE 1)  \* a random run takes each way through Next alike
Max(a, b) == IF a > b THEN a ELSE b
Min(a, b) == IF a < b THEN a ELSE b

\* Without margins for drift both sides count D in nominal units; ages are
\* whole numbers, so that rounding up changes no comparison.
Nominal == (Ticks * (Slow + Fast) + 1) \div 2
Hold  == IF Is("5-no-drift-margin") THEN Nominal
         ELSE IF Is("23-held-at-its-end") THEN Ticks * Slow + 1 ELSE Ticks * Slow
Cover == IF Is("5-no-drift-margin") THEN Nominal ELSE Ticks * Fast
Rates == IF Is("7-clock-stops") THEN {0, Slow, Fast} ELSE {Slow, Fast}

Term  == 1..MaxTerm
Older == 1..(MaxTerm - 1)   \* nobody ever asks about a lease of the last term
Epoch == 0..MaxEpoch
All   == MaxEpoch + 1       \* as released[t]: whatever the epoch
NoLease == MaxEpoch + 1     \* as the epoch of an append: it asks for none (Trace.tla; here each asks for one)

\* What a vote may report: number 0 is R0, the others one (term, epoch) each.
Claim == 0..((MaxTerm - 1) * (MaxEpoch + 1))
ClaimOf(t, e) == (t - 1) * (MaxEpoch + 1) + e + 1
TermOf(c)  == IF c = 0 THEN 0 ELSE (c - 1) \div (MaxEpoch + 1) + 1
EpochOf(c) == IF c = 0 THEN 0 ELSE (c - 1) % (MaxEpoch + 1)

VARIABLES
  \* Durable.
  term, voted, log,
  acked,      \* has ever acked an append
  \* Volatile, of every server.
  role, commit,
  grant,      \* [t -> <<age of the last receipt, newest epoch>>]; age Cover: over
  boot,       \* age of this process; Cover: old enough to have forgotten nothing
  \* Volatile, of candidates and leaders.
  wait,       \* [claim -> units of own clock to wait]; runs down while leading
  \* Volatile, of leaders.
  lease,      \* age, from sending, of the newest append that a majority acked; Hold: too old
  fly,        \* <<age, epoch>> of an append whose ack is on its way
  match,      \* [voter -> acked length], as far as it is above the commit index
  epoch,
  word,       \* the guardian's word: no lease read any more
  held,       \* a read in progress has read a value that was old when it was read
  \* What has been said, and what has happened.
  released,   \* [t -> n]: there are tokens for epochs below n of the lease of term t
  mail,       \* [t -> what a leader that leads no more had sent]
  committed   \* the longest log prefix anyone ever committed

durable == <<term, voted, log, acked>>
local   == <<role, commit, grant, boot>>
leading == <<lease, fly, match, epoch, word, held>>
told    == <<released, mail, committed>>
vars == <<durable, local, wait, leading, told>>

NoGrants == [t \in Older |-> <<Cover, 0>>]
NoWait   == [c \in Claim |-> 0]
NoFly    == <<Hold, 0>>
NoMatch  == [j \in Server |-> 0]
NoMail   == [from |-> None, log |-> <<>>, commit |-> 0]

IsPrefix(p, s) == Len(p) <= Len(s) /\ \A n \in 1..Len(p) : p[n] = s[n]
LastTerm(s) == IF s = <<>> THEN 0 ELSE s[Len(s)].t
UpToDate(a, b) == \/ LastTerm(a) > LastTerm(b)
                  \/ LastTerm(a) = LastTerm(b) /\ Len(a) >= Len(b)

(***************************************************************************)
(* Reads.                                                                  *)
(***************************************************************************)
\* The value of k after the first n entries of s: which entry wrote it.
Value(s, n, k) ==
  LET writes == {m \in 1..n : s[m].k = k}
  IN  IF writes = {} THEN <<0, 0>>
      ELSE LET last == CHOOSE m \in writes : \A o \in writes : o <= m
           IN  <<last, s[last].t>>

LastCommitted(k) == Value(committed, Len(committed), k)

LeaseHeld(l) == role[l] = "leader" /\ ~word[l] /\ lease[l] < Hold

OwnCommitted(l) == commit[l] > 0 /\ log[l][commit[l]].t = term[l]

\* 2.3. Until the first commit of the term the commit index is that of the
\* election, and entries of older terms behind it are the limbo.
InLimbo(l, k) ==
  /\ ~OwnCommitted(l)
  /\ \E n \in (commit[l] + 1)..Len(log[l]) : log[l][n].t < term[l] /\ log[l][n].k = k

Readable(l, k) == ~InLimbo(l, k) \/ Is("3-no-limbo-rule")

ReadsOld(l, k) == Readable(l, k) /\ Value(log[l], commit[l], k) # LastCommitted(k)

(***************************************************************************)
(* Grants, reports, tokens.                                                *)
(***************************************************************************)
IsReleased(rel, t, e) ==
  IF t = 0
  THEN Is("16-token-covers-R0") /\ \E u \in Older : rel[u] = All
  ELSE \/ rel[t] > e
       \/ Is("17-token-for-any-term") /\ \E u \in Older : rel[u] = All
       \/ Is("18-token-for-any-epoch") /\ rel[t] > 0

\* Everyone knows a token as soon as it exists, since to know it later or never
\* only lengthens waits. So what it covers need not be kept.
StillOwed(w, rel) ==
  IF rel = released THEN w
  ELSE [c \in Claim |-> IF IsReleased(rel, TermOf(c), EpochOf(c)) THEN 0 ELSE w[c]]
StillGranted(g, rel) ==
  IF rel = released THEN g
  ELSE [t \in Older |-> IF IsReleased(rel, t, g[t][2]) THEN <<Cover, 0>> ELSE g[t]]

\* The tokens there may be after one for the epochs below n of term t.
Tokens(t, n) ==
  IF t \notin Older THEN {released}
  ELSE {[released EXCEPT ![t] = Max(@, n)]} \cup (IF TokensLost THEN {released} ELSE {})

\* What may be said once i leads no more: its own answer to a higher term, its
\* new incarnation, the certificate of its death.
Ends(i) == IF role[i] = "leader" THEN Tokens(term[i], All) ELSE {released}

\* What a vote of j in term t says, as units for the winner to wait.
Report(j, t) ==
  [c \in Claim |->
     IF c = 0 THEN IF Is("1-no-restart-report") THEN 0 ELSE Cover - boot[j]
     ELSE LET g == grant[j][TermOf(c)]
          IN  IF TermOf(c) < t /\ g[2] = EpochOf(c) /\ ~IsReleased(released, TermOf(c), g[2])
              THEN Cover - g[1] ELSE 0]

\* The grants g after an append of term t.
AfterReceipt(g, t, e) ==
  IF t \notin Older \/ e = NoLease THEN g
  ELSE LET new == IF g[t][1] < Cover THEN Max(g[t][2], e) ELSE e
           now == IF IsReleased(released, t, new) THEN <<Cover, 0>> ELSE <<0, new>>
       IN  IF Is("6-newest-grant-only") THEN [NoGrants EXCEPT ![t] = now] ELSE [g EXCEPT ![t] = now]

(***************************************************************************)
(* Steps.                                                                  *)
(***************************************************************************)
Init ==
  /\ term = [i \in Server |-> 0]
  /\ voted = [i \in Server |-> None]
  /\ log = [i \in Server |-> <<>>]
  /\ acked = [i \in Server |-> FALSE]
  /\ role = [i \in Server |-> "follower"]
  /\ commit = [i \in Server |-> 0]
  /\ grant = [i \in Server |-> NoGrants]
  /\ boot = [i \in Server |-> Cover]
  /\ wait = [i \in Server |-> NoWait]
  /\ lease = [i \in Server |-> Hold]
  /\ fly = [i \in Server |-> NoFly]
  /\ match = [i \in Server |-> NoMatch]
  /\ epoch = [i \in Server |-> 0]
  /\ word = [i \in Server |-> FALSE]
  /\ held = [i \in Server |-> FALSE]
  /\ released = [t \in Older |-> 0]
  /\ mail = [t \in Older |-> NoMail]
  /\ committed = <<>>

\* i neither leads nor campaigns any more: what it kept for that is gone.
\* `rel` are the tokens from now on, the others what the rest have by now.
Retire(i, rel, waits, leases, flies, matches) ==
  /\ released' = rel
  /\ wait' = [s \in Server |-> IF s = i THEN NoWait ELSE StillOwed(waits[s], rel)]
  /\ lease' = [leases EXCEPT ![i] = Hold]
  /\ fly' = [flies EXCEPT ![i] = NoFly]
  /\ match' = [matches EXCEPT ![i] = NoMatch]
  /\ epoch' = [epoch EXCEPT ![i] = 0]
  /\ word' = [word EXCEPT ![i] = FALSE]
  /\ held' = [held EXCEPT ![i] = FALSE]
  /\ mail' = IF role[i] = "leader" /\ LateMail /\ term[i] \in Older
             THEN [mail EXCEPT ![term[i]] = [from |-> i, log |-> log[i], commit |-> commit[i]]]
             ELSE mail

\* From here on: who has voted in the last term is never asked for a report
\* again, so that its grants and its age need not be kept.
Campaign(i) ==
  /\ role[i] # "leader" /\ term[i] < MaxTerm
  /\ LET t == term[i] + 1
     IN /\ term' = [term EXCEPT ![i] = t]
        /\ wait' = [wait EXCEPT ![i] = IF Is("15-own-report-left-out") THEN NoWait ELSE Report(i, t)]
        /\ grant' = IF t = MaxTerm THEN [grant EXCEPT ![i] = NoGrants] ELSE grant
        /\ boot' = IF t = MaxTerm THEN [boot EXCEPT ![i] = Cover] ELSE boot
  /\ voted' = [voted EXCEPT ![i] = i]
  /\ role' = [role EXCEPT ![i] = "candidate"]
  /\ UNCHANGED <<log, acked, commit, leading, told>>

\* j hears the request of candidate i, and its answer arrives. With a second
\* vote of three i leads.
Hear(j, i) ==
  /\ i # j /\ role[i] = "candidate"
  /\ \/ term[j] < term[i]
     \/ term[j] = term[i] /\ voted[j] = None
  /\ LET t == term[i]
         yes == UpToDate(log[i], log[j]) \/ Is("21-log-not-compared")
         said == Report(j, t)
         claims == IF yes THEN [wait EXCEPT ![i] = [c \in Claim |-> Max(@[c], said[c])]] ELSE wait
     IN /\ term[j] = t => yes
        /\ IF Is("8-votes-but-serves-on") /\ role[j] = "leader"
           THEN /\ term[j] \in Older
                /\ released' = [released EXCEPT ![term[j]] = All]
                /\ grant' = [s \in Server |-> StillGranted(grant[s], released')]
                /\ wait' = [s \in Server |-> StillOwed(wait[s], released')]
                /\ UNCHANGED <<durable, role, commit, boot, leading, mail, committed>>
           ELSE \E rel \in Ends(j) :
                /\ term' = [term EXCEPT ![j] = t]
                /\ voted' = [voted EXCEPT ![j] = IF yes THEN i ELSE None]
                /\ role' = [role EXCEPT ![j] = "follower", ![i] = IF yes THEN "leader" ELSE @]
                /\ grant' = [s \in Server |->
                               IF s = j /\ yes /\ t = MaxTerm THEN NoGrants ELSE StillGranted(grant[s], rel)]
                /\ boot' = IF yes /\ t = MaxTerm THEN [boot EXCEPT ![j] = Cover] ELSE boot
                /\ Retire(j, rel, claims, lease, fly, match)
                /\ UNCHANGED <<log, acked, commit, committed>>

Write(l) ==
  /\ role[l] = "leader"
  /\ Cardinality({n \in 1..Len(log[l]) : log[l][n].t = term[l]}) < MaxAppends
  /\ \E k \in Key \cup (IF NoOps THEN {NoKey} ELSE {}) :
       log' = [log EXCEPT ![l] = Append(@, [t |-> term[l], k |-> k])]
  /\ UNCHANGED <<term, voted, acked, local, wait, leading, told>>

\* j takes an append of term t, sent by l: entries, commit index, epoch. A
\* majority has voted for l, so that whom j votes for in t matters no more.
Take(j, l, t, entries, c, e, rel) ==
  /\ term' = [term EXCEPT ![j] = t]
  /\ voted' = [voted EXCEPT ![j] = IF term[j] < t \/ @ = None THEN l ELSE @]
  /\ role' = [role EXCEPT ![j] = "follower"]
  /\ log' = [log EXCEPT ![j] = IF IsPrefix(entries, @) THEN @ ELSE entries]
  /\ commit' = [commit EXCEPT ![j] = Max(@, Min(c, Len(entries)))]
  /\ acked' = [acked EXCEPT ![j] = TRUE]
  /\ grant' = [s \in Server |->
       IF s # j THEN StillGranted(grant[s], rel)
       ELSE IF t = MaxTerm THEN NoGrants
       ELSE StillGranted(AfterReceipt(grant[j], t, e), rel)]
  /\ boot' = IF t = MaxTerm THEN [boot EXCEPT ![j] = Cover] ELSE boot
  /\ UNCHANGED committed

\* Leader l sends an append with the first n entries of its log, j takes it,
\* and the ack arrives; with AckDelay the lease hears of it later.
Beat(l, j, n) ==
  /\ l # j /\ role[l] = "leader" /\ term[j] <= term[l]
  /\ \E rel \in Ends(j) :
       /\ Take(j, l, term[l], SubSeq(log[l], 1, n), commit[l], epoch[l], rel)
       /\ Retire(j, rel, wait,
                 IF AckDelay \/ word[l] THEN lease ELSE [lease EXCEPT ![l] = 0],
                 IF AckDelay THEN [fly EXCEPT ![l] = <<0, epoch[l]>>] ELSE fly,
                 IF n > commit[l] THEN [match EXCEPT ![l][j] = Max(@, n)] ELSE match)

\* The ack that was on its way to l arrives.
Acked(l) ==
  /\ fly[l] # NoFly
  /\ fly' = [fly EXCEPT ![l] = NoFly]
  /\ lease' = [lease EXCEPT ![l] =
       IF fly[l][2] # epoch[l] /\ ~Is("20-ack-of-old-epoch") THEN @
       ELSE IF Is("2-counted-from-receipt") THEN 0
       ELSE Min(@, fly[l][1])]
  /\ UNCHANGED <<durable, local, wait, match, epoch, word, held, told>>

\* An append reaches j, of a leader that leads no more.
Late(j, t, n, c) ==
  /\ mail[t].from \notin {None, j} /\ term[j] <= t
  /\ \E rel \in Ends(j) :
       /\ Take(j, mail[t].from, t, SubSeq(mail[t].log, 1, n), c, 0, rel)
       /\ Retire(j, rel, wait, lease, fly, match)

\* Mutant 9: a voter of a higher term still answers.
Obsolete(l, j) ==
  /\ Is("9-lower-term-grants") /\ role[l] = "leader" /\ term[j] > term[l]
  /\ lease' = [lease EXCEPT ![l] = 0]
  /\ UNCHANGED <<durable, local, wait, fly, match, epoch, word, held, told>>

\* I7: own entries, by count, after the wait.
Commit(l, n) ==
  /\ role[l] = "leader" /\ n > commit[l]
  /\ log[l][n].t = term[l] \/ Is("22-older-entries-by-count")
  /\ \E j \in Server : match[l][j] >= n
  /\ wait[l] = NoWait \/ Is("4-no-commit-wait")
  /\ commit' = [commit EXCEPT ![l] = n]
  /\ match' = [match EXCEPT ![l] = [j \in Server |-> IF @[j] > n THEN @[j] ELSE 0]]
  /\ LET now == SubSeq(log[l], 1, n)
     IN  committed' = IF IsPrefix(committed, now) THEN now ELSE committed
  /\ UNCHANGED <<durable, role, grant, boot, wait, lease, fly, epoch, word, held, released, mail>>

Say(rel) ==
  /\ released' = rel
  /\ grant' = [s \in Server |-> StillGranted(grant[s], rel)]
  /\ wait' = [s \in Server |-> StillOwed(wait[s], rel)]

\* The lease is given up, then the token is made.
HandOver(l) ==
  /\ role[l] = "leader" /\ term[l] \in Older
  /\ epoch[l] < MaxEpoch /\ released[term[l]] <= epoch[l]
  /\ lease' = IF Is("10-hand-over-keeps-lease") THEN lease ELSE [lease EXCEPT ![l] = Hold]
  /\ epoch' = IF Is("10-hand-over-keeps-lease") \/ Is("11-same-epoch-again") THEN epoch
              ELSE [epoch EXCEPT ![l] = @ + 1]
  /\ \E rel \in Tokens(term[l], epoch[l] + 1) : Say(rel)
  /\ UNCHANGED <<durable, role, commit, boot, fly, match, word, held, mail, committed>>

\* The guardian has seen no sign of life: the word, then the certificate.
Certify(l) ==
  /\ Guardians /\ role[l] = "leader" /\ term[l] \in Older /\ released[term[l]] # All
  /\ IF Is("12-certificate-without-word") THEN UNCHANGED <<word, lease>>
     ELSE /\ word' = [word EXCEPT ![l] = TRUE]
          /\ lease' = [lease EXCEPT ![l] = Hold]
  /\ \E rel \in Tokens(term[l], All) : Say(rel)
  /\ UNCHANGED <<durable, role, commit, boot, fly, match, epoch, held, mail, committed>>

\* Mutant 14: it was but a stall, so the word is taken back.
TakeBack(l) ==
  /\ Is("14-word-taken-back") /\ word[l]
  /\ word' = [word EXCEPT ![l] = FALSE]
  /\ UNCHANGED <<durable, local, wait, lease, fly, match, epoch, held, told>>

\* A process dies and starts again. To be down in between is to take no step.
Restart(i) ==
  /\ Restarts
  /\ role' = [role EXCEPT ![i] = "follower"]
  /\ commit' = [commit EXCEPT ![i] = 0]
  /\ boot' = IF acked[i] /\ (term[i] < MaxTerm \/ voted[i] = None) THEN [boot EXCEPT ![i] = 0] ELSE boot
  /\ voted' = IF Is("19-vote-forgotten") THEN [voted EXCEPT ![i] = None] ELSE voted
  /\ \E rel \in Ends(i) :
       /\ grant' = [s \in Server |-> IF s = i THEN NoGrants ELSE StillGranted(grant[s], rel)]
       /\ Retire(i, rel, wait, lease, fly, match)
  /\ UNCHANGED <<term, log, acked, committed>>

\* 2.4: a read looks at the state, then at the lease and the word. Between the
\* two may be any time; only reads that have seen something old are of interest.
\* Mutant 13 looks at the lease first.
Look(l) ==
  /\ role[l] = "leader" /\ ~held[l]
  /\ IF Is("13-lease-checked-first") THEN LeaseHeld(l) ELSE \E k \in Key : ReadsOld(l, k)
  /\ held' = [held EXCEPT ![l] = TRUE]
  /\ UNCHANGED <<durable, local, wait, lease, fly, match, epoch, word, told>>

\* Whether i has anything that runs with its clock.
Counts(i) == \/ boot[i] < Cover \/ lease[i] < Hold \/ fly[i] # NoFly
             \/ grant[i] # NoGrants
             \/ role[i] = "leader" /\ wait[i] # NoWait

\* The clocks of these servers go on by so many units.
Pass(rate) ==
    LET by(i) == IF i \in DOMAIN rate THEN rate[i] ELSE 0
    IN
    /\ grant' = [i \in Server |-> IF i \notin DOMAIN rate THEN grant[i] ELSE
         [t \in Older |-> IF grant[i][t][1] + rate[i] >= Cover THEN <<Cover, 0>>
                          ELSE <<grant[i][t][1] + rate[i], grant[i][t][2]>>]]
    /\ boot' = [i \in Server |-> Min(Cover, boot[i] + by(i))]
    /\ lease' = [i \in Server |-> Min(Hold, lease[i] + by(i))]
    /\ fly' = [i \in Server |->
         IF fly[i] = NoFly THEN NoFly
         ELSE IF Is("2-counted-from-receipt") THEN fly[i]
         ELSE IF fly[i][1] + rate[i] >= Hold THEN NoFly
         ELSE <<fly[i][1] + rate[i], fly[i][2]>>]
    /\ wait' = [i \in Server |->
         IF role[i] # "leader" \/ wait[i] = NoWait THEN wait[i]
         ELSE [c \in Claim |-> IF wait[i][c] > rate[i] THEN wait[i][c] - rate[i] ELSE 0]]
    /\ UNCHANGED <<durable, role, commit, match, epoch, word, held, told>>

Tick == \E rate \in [{i \in Server : Counts(i)} -> Rates] : Pass(rate)

Next ==
  \/ \E often \in Often :
       \/ Tick
       \/ \E i \in Server :
            \/ Write(i) \/ Look(i) \/ Acked(i)
            \/ \E n \in 1..Len(log[i]) : Commit(i, n)
            \/ \E j \in Server :
                 \/ Hear(j, i) \/ Obsolete(i, j)
                 \/ \E n \in 0..Len(log[i]) : Beat(i, j, n)
  \/ \E i \in Server :
       \/ Campaign(i) \/ HandOver(i) \/ Certify(i) \/ TakeBack(i) \/ Restart(i)
       \/ \E t \in Older : \E n \in 0..Len(mail[t].log) : \E c \in 0..Min(n, mail[t].commit) : Late(i, t, n, c)

Spec == Init /\ [][Next]_vars

(***************************************************************************)
(* What must hold.                                                         *)
(***************************************************************************)
I1_OneLeaderPerTerm ==
  \A i, j \in Server : role[i] = "leader" /\ role[j] = "leader" /\ term[i] = term[j] => i = j

I3_CommittedStays ==
  \A i \in Server :
    /\ commit[i] <= Len(log[i])
    /\ \A n \in 1..Min(commit[i], Len(committed)) : log[i][n] = committed[n]

\* The last committed entry is of the term of the leader that committed it (I7).
I4_LeaderHasAllCommitted ==
  \A i \in Server : role[i] = "leader" /\ LastTerm(committed) <= term[i] => IsPrefix(committed, log[i])

I8_ReadsAreCurrent ==
  \A i \in Server :
    IF Is("13-lease-checked-first")
    THEN ~(held[i] /\ \E k \in Key : ReadsOld(i, k))
    ELSE LeaseHeld(i) => ~held[i] /\ \A k \in Key : ~ReadsOld(i, k)

I9_OverlapWithoutCommit ==
  \A i, j \in Server : LeaseHeld(i) /\ LeaseHeld(j) /\ term[i] < term[j] =>
    \A n \in 1..Len(committed) : committed[n].t # term[j]

I10_TokensAreTrue ==
  \A i \in Server : LeaseHeld(i) /\ term[i] \in Older => released[term[i]] <= epoch[i]

\* Vacuity: each of these must be found false, or the search never came to
\* what the rule before it is about.
Never_ReadInWait ==
  ~\E i, j \in Server : LeaseHeld(i) /\ LeaseHeld(j) /\ term[i] < term[j] /\ wait[j] # NoWait
                        /\ \E k \in Key : Readable(j, k) /\ LastCommitted(k) # <<0, 0>>
Never_WaitForRestarted ==
  ~\E i \in Server : role[i] = "leader" /\ wait[i][0] > 0 /\ \A c \in Claim \ {0} : wait[i][c] = 0
Never_CommitByToken ==
  ~\E i \in Server : role[i] = "leader" /\ commit[i] > 0 /\ log[i][commit[i]].t = term[i]
                     /\ \E t \in Older : t < term[i] /\ released[t] > 0 /\ released[t] < All
Never_LeaseAfterFailedHandOver ==
  ~\E i \in Server : LeaseHeld(i) /\ epoch[i] > 0
Never_OldReadInHand ==
  ~\E i \in Server : held[i]
Never_LimboReadHeldBack ==
  ~\E i \in Server : LeaseHeld(i) /\ \E k \in Key : ~Readable(i, k)
Never_TwoCommitters ==
  ~\E m, n \in 1..Len(committed) : committed[m].t # committed[n].t

Symmetry == Permutations(Server)
=============================================================================
