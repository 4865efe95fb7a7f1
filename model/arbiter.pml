/* Arbiter, lease, gate: may two nodes ever serve at once?
 *
 * Two nodes with the rules of src/core, up to three reference hosts, a network that loses, delays and reorders,
 * daemons that pause, die and start again, machines that lose their power. Two properties are asserted:
 *
 *     ONE_ACTIVE    never are both kernels' gates open (S1, docs/safety.md)
 *     FRESH_EPOCH   no epoch is used for two activations (S4)
 *
 * model/check runs it in all its variants (-D macros) and holds the verdict that each of them must have;
 * model/README.md says what is abstracted, why that is sound, and which rule is which line of src/core.
 *
 * Time is counted in ticks of about a heartbeat period. In each tick the paths to the reference hosts are chosen
 * anew, then each node that is not paused takes its step, in either order: it may read a heartbeat that has been
 * on its way for any time, reads what came off a reference host, gets the answers to its probes, draws its
 * conclusions, sets its gate and sends. Then the clocks advance by one. Instants are kept as ages in ticks.
 */

/* ---- what a variant chooses ---- */
#ifndef L
#define L 2 /* lease: the gate is open in the tick in which the evidence was sent and in L - 1 further ones */
#endif
#ifndef W
#define W 2 /* window; the discrete form of the inequality of S2 is W >= L (core/timing.cpp) */
#endif
#ifndef OVER
#define OVER L /* what a standby believes that the peer's lease lasts: lease_is_over() */
#endif
#ifndef R
#define R OVER /* how long a standby's run of answers without a gap must be: lease_is_over() */
#endif
#ifndef FRESH
#define FRESH 2 /* age that the newest answer in such a run may have: 2.5 h in the code */
#endif
#ifndef GAP
#define GAP 1 /* ticks between two answered probes of one run: 1 = no tick may be missed */
#endif
#ifndef HOSTS
#define HOSTS 1
#endif
#ifndef MAXE
#define MAXE 4 /* no epoch above this one is drawn */
#endif
#ifndef DEATHS
#define DEATHS 0 /* of daemons or machines in one run, both nodes together */
#endif
#ifndef LATES
#define LATES 1 /* 0: a heartbeat that is not read at the receiver's next step is lost; 1: it may arrive at any time */
#endif
#ifndef SKEW
#define SKEW 0 /* ticks that must pass before a node's clock may stand still for one; 0 = it never does */
#endif

/* Ages are told apart as far as a rule looks, and are "long ago" from there on. */
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define K_SILENT MAX(W, L + FRESH)
#define K_ANSWER MAX(L, FRESH + 1)
#ifdef STALE_ACK_RESUMES
#define K (W + 2)
#else
#define K L
#endif
#define AGE(x, k) x = ((x) < (k) -> (x) + 1 : (k))

/* Roles (core/heartbeat.hpp); kStarting and kActive are one here. */
#define STANDBY 0
#define SERVE 1
#define SUSPEND 2

#define PEER(n) (1 - (n))

/* ---- the kernel: survives the daemon, not the loss of power ---- */
byte gate[2]; /* ticks for which the gate stays open; the address is up whenever it is */

/* ---- the disk (core/persisted_state.hpp) ---- */
byte disk_epoch[2], disk_claim[2];
bit disk_active[2];

/* ---- the daemon ---- */
bit runs[2], powered[2];
byte st[2];         /* role */
byte epoch[2];      /* stored_->epoch */
byte claim[2];      /* stored_->claimed, 0 = none */
bit claiming[2];    /* claim_: this daemon has made the claim */
bit last_active[2]; /* stored_->active */
byte lease[2];      /* lease_: ticks that are left */
byte silent[2];     /* age of the last sign of the peer, or of the start (silent_since) */
byte heard[2];      /* age of the newest heartbeat heard, counted from its sending: what is acknowledged */
byte acked[2];      /* age of the newest own heartbeat acknowledged; kept while suspended */
byte since[2];      /* age of the suspension */
bit known[2];       /* the peer was heard in this daemon's life */
bit peer_holds[2];  /* its newest heartbeat says another role than standby; kept while suspended */

/* Reference hosts (core/reference_hosts.cpp). */
typedef Book {
  byte answered[HOSTS];         /* age of the newest answered probe */
  byte span[HOSTS];             /* length of the run without gaps, up to the newest answered probe */
  bit in_a[HOSTS], in_b[HOSTS]; /* S_A, S_B */
  bit let_go[HOSTS];            /* the peer was heard to say "not in my S_A" after it had left it */
};
Book book[2];

/* Sealed heartbeats (linux/net/seal.hpp): a boot is proven once it has echoed the receiver's question. */
bit boot[2];    /* parity of the daemon's life */
bit accepts[2]; /* parity of the peer's life that is proven to this node, if `proven` */
bit proven[2];
bit knows[2];   /* the peer's present question, and echoes it */

/* ---- the network ---- */
typedef Heartbeat {
  bit there;
  bit newer;  /* sent later than all that the receiver has read */
  byte sent;  /* age */
  byte ack;   /* age of the heartbeat that it acknowledges */
  bit holds;  /* the sender's role is not standby */
  byte epoch; /* 0 = none that the receiver would not know in any of its lives */
  bit boot, echo;
  bit let_go[HOSTS];
};
Heartbeat late[2]; /* on its way to node n: arrives at any time, or is overwritten by another, that is lost */
Heartbeat due[2];  /* came off a host that both nodes see: it is in node n's socket, and read at its next step */
bit late_is_later[2];                         /* which of the two was sent later */
bit there_path[2 * HOSTS], back_path[2 * HOSTS]; /* this tick: node to host, host to node */
#define AT(n, h) ((n) * HOSTS + (h))
#define SEES(n, h) (there_path[AT(n, h)] && back_path[AT(n, h)])

byte deaths;
#if DEATHS > 0
byte used_epochs; /* bit set */
#endif
#if SKEW > 0
byte ran_true[2]; /* ticks since the clock of node n stood still for one */
bit stands_still[2];
#endif
byte j, k; /* scratch: 0 between the atomic parts of a tick */
bit yes, steps, reads, writes, sends;

#define ONE_ACTIVE !(gate[0] > 0 && gate[1] > 0)

/* ---- events ---- */

inline tidy() { j = 0; k = 0; yes = 0; steps = 0; reads = 0; writes = 0; sends = 0 }

inline clear(m) {
  m.there = 0; m.newer = 0; m.sent = 0; m.ack = 0; m.holds = 0; m.epoch = 0; m.boot = 0; m.echo = 0;
  for (k : 0 .. HOSTS - 1) { m.let_go[k] = 0 }
}

/* What another heartbeat that was read makes of this one: only its acknowledgement and its proof count. */
inline outdate(m) {
  m.newer = 0; m.sent = 0; m.holds = 0; m.epoch = 0;
  for (k : 0 .. HOSTS - 1) { m.let_go[k] = 0 }
}

/* SealedChannel::judge, then Peer::heard and ServiceMachine::review_peer. */
inline receive(n, m) {
  if
  :: m.boot == accepts[n] && proven[n] -> yes = 1
  :: !(m.boot == accepts[n] && proven[n]) && m.boot == boot[PEER(n)] ->
     knows[n] = 1; /* an unproven heartbeat is read for the question that it asks */
     if
     :: m.echo ->
        accepts[n] = m.boot; proven[n] = 1; yes = 1;
        acked[n] = K /* what the old daemon knew, the new one may not */
     :: else ->
#ifndef UNPROVEN_IGNORED
        silent[n] = 0; /* and as a sign of life */
#endif
        yes = 0
     fi
  :: else -> yes = 0 /* a straggler of a life that is over */
  fi;
  if
  :: yes ->
     silent[n] = 0;
     /* S1: the lease counts from when the acknowledged heartbeat was sent. */
#ifdef LEASE_FROM_RECEIPT
     lease[n] = (m.ack < K -> L : lease[n]);
#else
     lease[n] = (m.ack < L -> MAX(lease[n], L - m.ack) : lease[n]);
#endif
     acked[n] = MIN(acked[n], m.ack);
     if
     :: m.newer ->
        known[n] = 1; heard[n] = m.sent; peer_holds[n] = m.holds;
        for (k : 0 .. HOSTS - 1) { book[n].let_go[k] = m.let_go[k] }
        if
        :: m.epoch > epoch[n] -> /* S4: whoever learns of a higher epoch steps down */
           gate[n] = 0; claim[n] = (st[n] == STANDBY -> claim[n] : 0); st[n] = STANDBY;
           epoch[n] = m.epoch; last_active[n] = 0; claiming[n] = 0
        :: else
        fi
     :: else
     fi
  :: else
  fi
}

inline read_late(n) {
  receive(n, late[n]);
  if
  :: late[n].newer && due[n].there && late_is_later[n] -> outdate(due[n])
  :: else
  fi;
  clear(late[n]); late_is_later[n] = 0
}

inline read_due(n) {
  receive(n, due[n]);
  if
  :: due[n].newer && late[n].there && !late_is_later[n] -> outdate(late[n])
  :: else
  fi;
  clear(due[n]); late_is_later[n] = 0
}

/* ReferenceHosts::answered: probes are answered in the tick in which they are sent, or never. */
inline probe(n) {
  for (k : 0 .. HOSTS - 1) {
    if
    :: SEES(n, k) ->
       book[n].span[k] = (book[n].answered[k] > GAP -> 0 : MIN(book[n].span[k] + book[n].answered[k], R));
       book[n].answered[k] = 0
    :: else
    fi
  }
}

/* Node::renew_lease: any host of S_A (kA = 1). */
inline renew(n) {
  for (k : 0 .. HOSTS - 1) {
    if
    :: book[n].in_a[k] && book[n].answered[k] < L -> lease[n] = MAX(lease[n], L - book[n].answered[k])
    :: else
    fi
  }
}

/* ---- conclusions ---- */

/* A lease that has run out does so before an event's evidence could renew it (ServiceMachine::review_lease). */
inline expire(n) {
  if
  :: st[n] == SERVE && lease[n] == 0 -> gate[n] = 0; st[n] = SUSPEND; since[n] = 0; acked[n] = K
  :: else
  fi
}

/* ReferenceHosts::all_conclusive, into `yes`: all hosts of S_B (kB = n). The last answer must have been asked
 * for when the peer's lease had run out, counted from when it was last heard, and from the begin of the run:
 * whatever the peer has renewed it by, it did so before. */
#ifdef STALE_ANSWERS_COUNT
#define SINCE_SILENT(n, h) (silent[n] >= OVER)
#else
#define SINCE_SILENT(n, h) (book[n].answered[h] + OVER <= silent[n])
#endif
#ifdef RUN_UP_TO_NOW
#define RUN(n, h) (book[n].span[h] + book[n].answered[h])
#else
#define RUN(n, h) book[n].span[h]
#endif
#define CONCLUSIVE(n, h) (book[n].answered[h] <= FRESH && SINCE_SILENT(n, h) && RUN(n, h) >= R)
inline all_conclusive(n) {
  yes = 1; j = 0;
  for (k : 0 .. HOSTS - 1) {
    if
    :: book[n].in_b[k] && CONCLUSIVE(n, k) -> j++
    :: book[n].in_b[k] && !CONCLUSIVE(n, k) -> yes = 0
    :: else
    fi
  }
#ifdef ANY_HOST_SUFFICES
  yes = 1; /* kB = 1: kA + kB <= n for two hosts and more */
#endif
  yes = yes && j > 0 /* an empty S_B permits nothing */
}

/* ServiceMachine::may_resume: the peer has just acknowledged a heartbeat sent after the lease ran out. */
#ifdef STALE_ACK_RESUMES
#define ACK_IS_YOUNG(n) (acked[n] < K)
#else
#define ACK_IS_YOUNG(n) (acked[n] < L)
#endif
#define MAY_RESUME(n) \
  (st[n] == SUSPEND && known[n] && silent[n] < W && lease[n] > 0 && acked[n] <= since[n] && ACK_IS_YOUNG(n) && \
   !peer_holds[n])

/* ServiceMachine::right_holds(kTakeover), but for the hosts. */
#define MAY_CLAIM(n) \
  (silent[n] >= OVER && (st[n] == SUSPEND || (st[n] == STANDBY && (known[n] || last_active[n]))))

/* ServiceMachine::next_epoch: node 0 draws even ones, node 1 odd ones. */
inline draw_epoch(n) {
  j = MAX(epoch[n], claim[n]) + 1;
  j = (j % 2 == n -> j : j + 1);
  claiming[n] = (j <= MAXE); /* the limit of the run */
  claim[n] = (claiming[n] -> j : claim[n])
}

#ifdef EPOCH_NOT_DURABLE
#define CLAIM_IS_DURABLE(n) 1
#else
#define CLAIM_IS_DURABLE(n) (disk_claim[n] == claim[n])
#endif

inline activate(n) {
#if DEATHS > 0
  assert((used_epochs & (1 << claim[n])) == 0); /* FRESH_EPOCH */
  used_epochs = used_epochs | (1 << claim[n]);
#endif
  epoch[n] = claim[n]; claim[n] = 0; claiming[n] = 0; last_active[n] = 1; st[n] = SERVE
}

/* ServiceMachine::review and Node::set_gates. */
inline review(n) {
  expire(n);
  if
  :: MAY_RESUME(n) -> st[n] = SERVE; claim[n] = (claiming[n] -> 0 : claim[n]); claiming[n] = 0
  :: else ->
     if
     :: st[n] != SERVE && MAY_CLAIM(n) ->
        all_conclusive(n);
        if
        :: !claiming[n] -> draw_epoch(n)
        :: claiming[n] && CLAIM_IS_DURABLE(n) && silent[n] >= W && yes && lease[n] > 0 -> activate(n)
        :: else
        fi
     :: st[n] != SERVE && !MAY_CLAIM(n) && claiming[n] -> claim[n] = 0; claiming[n] = 0
     :: else
     fi
  fi;
  /* One lease, counted from its evidence. */
  gate[n] = (st[n] == SERVE -> lease[n] : gate[n]);
  assert(ONE_ACTIVE);
  /* What is not looked at in this state. */
  if
  :: st[n] != SUSPEND -> acked[n] = K; since[n] = 0; peer_holds[n] = 0
  :: else
  fi
}

/* ---- sending ---- */

inline fill(n, m) {
  m.there = 1; m.newer = 1; m.sent = 0; m.ack = heard[n]; m.holds = (st[n] != STANDBY);
  m.epoch = (epoch[n] > epoch[PEER(n)] || epoch[n] > disk_epoch[PEER(n)] -> epoch[n] : 0);
  m.boot = boot[n]; m.echo = knows[n];
  for (k : 0 .. HOSTS - 1) { m.let_go[k] = !book[n].in_a[k] }
}

/* Does a heartbeat of n certainly reach the peer in this tick? Into `yes`. */
inline reaches(n) {
  yes = 0;
#ifndef NO_T
  for (k : 0 .. HOSTS - 1) {
#ifdef RELAY
    /* The host sends it on (S2a): n reaches the host and the host reaches the peer. T follows. */
    yes = yes || (there_path[AT(n, k)] && back_path[AT(PEER(n), k)])
#else
    /* T is assumed: who both see one host hear each other. */
    yes = yes || (SEES(n, k) && SEES(PEER(n), k))
#endif
  }
#endif
}

inline send(n) {
  if
  :: sends -> fill(n, late[PEER(n)]); late_is_later[PEER(n)] = 1
  :: else /* lost, or an earlier one is still on its way */
  fi;
  reaches(n);
  if
  :: yes && runs[PEER(n)] -> fill(n, due[PEER(n)]); late_is_later[PEER(n)] = 0
  :: else
  fi
}

/* ---- faults ---- */

/* The daemon is gone, and what it had not read with it. The gate stays as it is until its deadline. */
inline die(n) {
  runs[n] = 0; deaths++;
  st[n] = 0; epoch[n] = 0; claim[n] = 0; claiming[n] = 0; last_active[n] = 0; lease[n] = 0; silent[n] = 0; heard[n] = K;
  acked[n] = K; since[n] = 0; known[n] = 0; peer_holds[n] = 0; proven[n] = 0; accepts[n] = 0; knows[n] = 0;
  for (k : 0 .. HOSTS - 1) {
    book[n].answered[k] = K_ANSWER; book[n].span[k] = 0; book[n].let_go[k] = 0
  }
  clear(due[n]); late_is_later[n] = 0;
  /* The next life asks another question, and acknowledgements of this one's heartbeats mean nothing to it. */
  knows[PEER(n)] = 0;
  late[n].newer = late[n].there; late[n].echo = 0; late[n].ack = (late[n].there -> K : 0)
}

/* ServiceMachine::begin, Node::Impl::on(Started). */
inline start(n) {
  runs[n] = 1; powered[n] = 1;
  boot[n] = 1 - boot[n];
  /* What the life before the last one had sent is refused by the transport. */
  if
  :: late[PEER(n)].there && late[PEER(n)].boot == boot[n] -> clear(late[PEER(n)]); late_is_later[PEER(n)] = 0
  :: else
  fi;
  if
  :: due[PEER(n)].there && due[PEER(n)].boot == boot[n] -> clear(due[PEER(n)]); late_is_later[PEER(n)] = 0
  :: else
  fi;
  epoch[n] = disk_epoch[n]; claim[n] = disk_claim[n]; last_active[n] = disk_active[n];
#ifdef RESTART_WAITS_NOT
  silent[n] = K_SILENT; known[n] = 1;
  for (k : 0 .. HOSTS - 1) { book[n].answered[k] = GAP; book[n].span[k] = R }
#else
  silent[n] = 0; /* a full window is waited */
#endif
  if
  :: !disk_active[n] -> gate[n] = 0; st[n] = STANDBY
  :: disk_active[n] && gate[n] > 0 && disk_claim[n] == 0 -> st[n] = SERVE; lease[n] = gate[n]
  :: else -> gate[n] = 0; st[n] = SUSPEND
  fi
}

#define ON_DISK(n) (disk_epoch[n] == epoch[n] && disk_claim[n] == claim[n] && disk_active[n] == last_active[n])
/* The disk may catch up at any time; what it holds is what is found again. */
inline write(n) {
  if
  :: writes -> disk_epoch[n] = epoch[n]; disk_claim[n] = claim[n]; disk_active[n] = last_active[n]
  :: else
  fi
}

/* ---- the counted sets, as sets.pml permits them to move ---- */

#ifdef MOVING_SETS
#define ALONE(x) (HOSTS == 1 || (x[0] + x[1 % HOSTS] + (HOSTS > 2 -> x[2 % HOSTS] : 0)) == 1)
inline move_host(n, h) {
  if
  :: book[n].in_a[h] && !ALONE(book[n].in_a) -> book[n].in_a[h] = 0
#ifdef SETS_UNASKED
  :: book[n].in_b[h] && !ALONE(book[n].in_b) -> book[n].in_b[h] = 0
#else
  :: book[n].in_b[h] && !ALONE(book[n].in_b) && !book[n].in_a[h] && book[n].let_go[h] -> book[n].in_b[h] = 0
#endif
  :: !book[n].in_b[h] -> book[n].in_b[h] = 1
  :: !book[n].in_a[h] && book[n].in_b[h] && book[PEER(n)].in_b[h] ->
     book[n].in_a[h] = 1;
     book[PEER(n)].let_go[h] = 0; late[PEER(n)].let_go[h] = 0; due[PEER(n)].let_go[h] = 0
  :: true
  fi
}
#endif

/* ---- a tick ---- */

inline choose_paths() {
  for (j : 0 .. 2 * HOSTS - 1) {
#ifdef RELAY
    if :: there_path[j] = 1 :: there_path[j] = 0 fi;
    if :: back_path[j] = 1 :: back_path[j] = 0 fi
#else
    if
    :: there_path[j] = 1; back_path[j] = 1
    :: there_path[j] = 0; back_path[j] = 0
    fi
#endif
  }
}

/* First what happens to it is chosen, then it follows from that what the node does. */
inline choose_step(n) {
  if
  :: runs[n] -> steps = 1
#ifndef NO_PAUSE
  :: runs[n] -> printf("PAUSE %d\n", n) /* no step in this tick, and its gate falls shut by the clock */
#endif
  :: runs[n] && deaths < DEATHS -> d_step { printf("DIE %d\n", n); die(n); tidy() }
  :: powered[n] && deaths < DEATHS ->
     d_step {
       if :: runs[n] -> die(n) :: else -> deaths++ fi;
       gate[n] = 0; powered[n] = 0; printf("POWER %d\n", n); tidy()
     }
  :: !runs[n] -> skip
  :: !runs[n] -> d_step { start(n); steps = 1; printf("START %d %d\n", n, st[n]) }
  fi;
  if
  :: steps ->
     if :: late[n].there -> reads = 1 :: true fi;
     if
     :: writes = 1
     :: DEATHS > 0 || silent[n] >= OVER -> skip
     fi;
     if :: sends = 1 :: true fi
  :: else
  fi
}
/* For traces: model/check --trace puts these lines into words. */
inline tell(n) {
  printf("STEP %d %d %d %d", n, st[n], gate[n], lease[n]);
  printf(" %d %d %d %d %d %d ", silent[n], epoch[n], claim[n], disk_claim[n], reads, sends);
  for (k : 0 .. HOSTS - 1) { if :: SEES(n, k) -> printf("%d", k + 1) :: else fi }
  printf("\n")
}

inline step(n) {
  d_step {
    if
    :: steps ->
       if
       :: reads -> expire(n); read_late(n); renew(n); review(n)
       :: else
       fi;
       /* The reactor reads what lies in the sockets before it looks at the clock. */
       if
       :: due[n].there -> expire(n); read_due(n); renew(n); review(n)
       :: else
       fi;
#if LATES == 0
       clear(late[n]); late_is_later[n] = 0;
#endif
       expire(n); probe(n); renew(n); review(n); write(n); review(n); send(n);
       tell(n)
    :: else
    fi;
    tidy()
  }
}

/* The clock of node n advances: its gate's, its own, and what it has noted of its own heartbeats' sending. */
inline advance_clock(n) {
  gate[n] = (gate[n] > 0 -> gate[n] - 1 : 0);
  if
  :: runs[n] ->
     lease[n] = (lease[n] > 0 -> lease[n] - 1 : 0);
     AGE(silent[n], K_SILENT); AGE(acked[n], K);
     if :: st[n] == SUSPEND -> AGE(since[n], K) :: else fi;
     for (k : 0 .. HOSTS - 1) { AGE(book[n].answered[k], K_ANSWER) }
  :: else
  fi;
  if :: runs[PEER(n)] -> AGE(heard[PEER(n)], K) :: else fi;
  if :: late[n].there -> AGE(late[n].ack, K) :: else fi;
  if :: due[n].there -> AGE(due[n].ack, K) :: else fi;
  if :: late[PEER(n)].newer -> AGE(late[PEER(n)].sent, K) :: else fi;
  if :: due[PEER(n)].newer -> AGE(due[PEER(n)].sent, K) :: else fi
}

inline advance() {
#if SKEW > 0
  /* Clocks are wrong by one tick in SKEW at most. */
  for (j : 0 .. 1) {
    if
    :: stands_still[j] = 0
    :: ran_true[j] == SKEW -> stands_still[j] = 1
    fi
  }
#endif
  d_step {
    printf("TICK\n");
#if SKEW > 0
    for (j : 0 .. 1) {
      if
      :: stands_still[j] -> ran_true[j] = 0; printf("STILL %d\n", j)
      :: else -> advance_clock(j); ran_true[j] = (ran_true[j] < SKEW -> ran_true[j] + 1 : SKEW)
      fi;
      stands_still[j] = 0
    }
#else
    advance_clock(0); advance_clock(1);
#endif
    for (k : 0 .. 2 * HOSTS - 1) { there_path[k] = 0; back_path[k] = 0 }
    assert(ONE_ACTIVE);
    tidy()
  }
}

init {
  /* Node 0 serves at epoch 2, node 1 stands by; both have heard each other. */
  d_step {
    for (j : 0 .. 1) {
      runs[j] = 1; powered[j] = 1; known[j] = 1; proven[j] = 1; knows[j] = 1; acked[j] = K;
      epoch[j] = 2; disk_epoch[j] = 2;
      for (k : 0 .. HOSTS - 1) {
        book[j].answered[k] = K_ANSWER;
        book[j].in_a[k] = 1;
#ifdef SETS_APART
        book[j].in_b[k] = (k > 0) /* host 0 is in S_A and in no S_B */
#else
        book[j].in_b[k] = 1
#endif
      }
    }
#if SKEW > 0
    ran_true[0] = SKEW; ran_true[1] = SKEW;
#endif
    st[0] = SERVE; last_active[0] = 1; disk_active[0] = 1; gate[0] = L; lease[0] = L;
#if DEATHS > 0
    used_epochs = 1 << 2;
#endif
    tidy()
  }
  do
  :: atomic {
       choose_paths();
#ifdef MOVING_SETS
       if
       :: move_host(0, 0) :: move_host(1, 0) :: move_host(0, HOSTS - 1) :: move_host(1, HOSTS - 1)
       fi
#endif
       tidy()
     }
     if
     :: atomic { choose_step(0); step(0) } atomic { choose_step(1); step(1); advance() }
     :: atomic { choose_step(1); step(1) } atomic { choose_step(0); step(0); advance() }
     fi
  od
}
