/* The counted sets: is S_A of one node within S_B of the other one, at every instant?
 *
 * Two nodes with the rules of src/core/reference_hosts.cpp for hosts that enter and leave S_A and S_B, heartbeats that are
 * lost, late and overtaken by later ones, disks that lag behind, daemons that die at any moment and find any of the
 * states that were on their way to the disk. Whether a host answers is left to chance at every look, so every
 * opinion of both nodes occurs. Asserted:
 *
 *     WITHIN        a host in S_A of a node (its answers renew the lease) is in S_B of the other (which asks it)
 *
 * model/check runs it in all its variants; model/README.md says what is abstracted, and why one host speaks for all.
 */

/* ---- what a variant chooses ---- */
#ifndef HOSTS
#define HOSTS 1
#endif
#ifndef CRASHES
#define CRASHES 1 /* of daemons in one run, both nodes together */
#endif
#ifndef FLIGHT
#define FLIGHT 2 /* states on their way to a disk; with so many a node changes nothing */
#endif
#ifndef SLOTS
#define SLOTS 2 /* heartbeats on their way in one direction: one can be overtaken by SLOTS - 1 later ones */
#endif

#define PEER(n) (1 - (n))

/* ---- a node ---- */
typedef Sets { bit a[HOSTS], b[HOSTS] }; /* PersistedHost */
typedef Node {
  Sets wanted, durable;
  Sets flight[FLIGHT]; /* oldest first */
  byte flying;
  bit leaving[HOSTS];
  byte life;  /* of the daemon that runs */
  byte hears; /* newest life of the peer that it has heard */
};
Node node[2];

/* Sequence numbers are only ever compared with `leaving_sequence`: for each host of each node, "not before the
 * announcement that it leaves". A new announcement begins all of these anew. */
typedef Heartbeat {
  bit there;
  bit newer; /* sent later than all that the receiver has read of this life */
  byte life;
  bit a[HOSTS], b[HOSTS], leaving[HOSTS];
  bit says[HOSTS]; /* not before the sender's announcement */
  bit acks[HOSTS]; /* its sender has heard a heartbeat not before the receiver's announcement */
};
typedef Way { Heartbeat slot[SLOTS] }; /* in the order in which they were sent */
Way to[2];

bit heard[2 * HOSTS]; /* node n has heard the peer's announcement of host h */
bit acked[2 * HOSTS]; /* node n knows that the peer has */
#define AT(n, h) ((n) * HOSTS + (h))

byte crashes;
byte i, k, free; /* scratch, 0 between the steps */
bit fresh, counts, all, any, answers, gone, back;
#if HOSTS > 1
byte at_host; /* of which something new is seen */
#endif

/* ---- what counts (ReferenceHosts::in_active_set, in_standby_set) ---- */
#ifdef USED_BEFORE_DURABLE
#define IN_A(n, h) node[n].wanted.a[h]
#else
#define IN_A(n, h) (node[n].wanted.a[h] && node[n].durable.a[h])
#endif
#define IN_B(n, h) (node[n].wanted.b[h] || node[n].durable.b[h])
#define WITHIN(n, h) (!IN_A(n, h) || IN_B(PEER(n), h))

inline look() {
  for (i : 0 .. HOSTS - 1) { assert(WITHIN(0, i)); assert(WITHIN(1, i)) }
}

inline tidy() { i = 0; k = 0; free = 0; fresh = 0; counts = 0; all = 0; any = 0; answers = 0; gone = 0; back = 0 }

/* For traces (model/check --trace). */
inline tell(n) {
  printf(" %d: wanted", n);
  for (i : 0 .. HOSTS - 1) { printf(" A%d B%d", node[n].wanted.a[i], node[n].wanted.b[i]) }
  printf(", on disk");
  for (i : 0 .. HOSTS - 1) { printf(" A%d B%d", node[n].durable.a[i], node[n].durable.b[i]) }
  printf(", leaving");
  for (i : 0 .. HOSTS - 1) { printf(" %d", node[n].leaving[i]) }
  printf("\n")
}

/* ---- the disk ---- */

/* ReferenceHosts::submitted: what equals the newest one on its way brings nothing new. */
inline submit(n) {
  fresh = 0;
  for (i : 0 .. HOSTS - 1) {
    if
    :: node[n].flying > 0 ->
       fresh = fresh || node[n].wanted.a[i] != node[n].flight[node[n].flying - 1].a[i] ||
               node[n].wanted.b[i] != node[n].flight[node[n].flying - 1].b[i]
    :: else ->
       fresh = fresh || node[n].wanted.a[i] != node[n].durable.a[i] || node[n].wanted.b[i] != node[n].durable.b[i]
    fi
  }
  if
  :: fresh ->
     for (i : 0 .. HOSTS - 1) {
       node[n].flight[node[n].flying].a[i] = node[n].wanted.a[i];
       node[n].flight[node[n].flying].b[i] = node[n].wanted.b[i]
     }
     node[n].flying++
  :: else
  fi
}

inline drop_oldest_flight(n) {
  for (k : 1 .. FLIGHT - 1) {
    for (i : 0 .. HOSTS - 1) {
      node[n].flight[k - 1].a[i] = node[n].flight[k].a[i]; node[n].flight[k - 1].b[i] = node[n].flight[k].b[i]
    }
  }
  for (i : 0 .. HOSTS - 1) { node[n].flight[FLIGHT - 1].a[i] = 0; node[n].flight[FLIGHT - 1].b[i] = 0 }
  node[n].flying--
}

/* ReferenceHosts::durable. */
inline write(n) {
  for (i : 0 .. HOSTS - 1) {
    node[n].durable.a[i] = node[n].flight[0].a[i]; node[n].durable.b[i] = node[n].flight[0].b[i]
  }
  drop_oldest_flight(n)
}

/* ---- heartbeats ---- */

inline clear_slot(n, s) {
  to[n].slot[s].there = 0; to[n].slot[s].newer = 0; to[n].slot[s].life = 0;
  for (i : 0 .. HOSTS - 1) {
    to[n].slot[s].a[i] = 0; to[n].slot[s].b[i] = 0; to[n].slot[s].leaving[i] = 0;
    to[n].slot[s].says[i] = 0; to[n].slot[s].acks[i] = 0
  }
}

inline copy_slot(n, from, s) {
  to[n].slot[s].there = to[n].slot[from].there; to[n].slot[s].newer = to[n].slot[from].newer;
  to[n].slot[s].life = to[n].slot[from].life;
  for (i : 0 .. HOSTS - 1) {
    to[n].slot[s].a[i] = to[n].slot[from].a[i]; to[n].slot[s].b[i] = to[n].slot[from].b[i];
    to[n].slot[s].leaving[i] = to[n].slot[from].leaving[i]; to[n].slot[s].says[i] = to[n].slot[from].says[i];
    to[n].slot[s].acks[i] = to[n].slot[from].acks[i]
  }
}

/* Slot s is gone: the later ones move up. */
inline close_gap(n, s) {
  for (k : 1 .. SLOTS - 1) {
    if :: k > (s) -> copy_slot(n, k, k - 1) :: else fi
  }
  clear_slot(n, SLOTS - 1)
}

/* ReferenceHosts::announce: S_A if a crash may bring it back, S_B only if every crash does. */
inline fill(n, s) {
  to[PEER(n)].slot[s].there = 1; to[PEER(n)].slot[s].newer = 1; to[PEER(n)].slot[s].life = node[n].life;
  for (i : 0 .. HOSTS - 1) {
    any = node[n].durable.a[i]; all = node[n].durable.b[i];
    for (k : 0 .. FLIGHT - 1) {
      any = any || (k < node[n].flying && node[n].flight[k].a[i]);
      all = all && (k >= node[n].flying || node[n].flight[k].b[i])
    }
#ifdef SAID_BEFORE_DURABLE
    any = 0; all = 1;
#endif
    to[PEER(n)].slot[s].a[i] = node[n].wanted.a[i] || any;
    to[PEER(n)].slot[s].b[i] = node[n].wanted.b[i] && all;
    to[PEER(n)].slot[s].leaving[i] = node[n].leaving[i];
    to[PEER(n)].slot[s].says[i] = node[n].leaving[i];
    to[PEER(n)].slot[s].acks[i] = heard[AT(n, i)]
  }
}

/* With no room left, the one before it is lost; `lost` says that it is in any case. */
inline send(n, lost) {
  free = 0;
  for (k : 0 .. SLOTS - 1) { free = (to[PEER(n)].slot[k].there -> k + 1 : free) }
  if
  :: free == SLOTS || (lost && free > 0) -> free--
  :: else
  fi;
  fill(n, free)
}

/* What has been overtaken proves and acknowledges, and tells nothing; if it has nothing new at all, it is as good as lost. */
inline outdate(n) {
  for (k : 0 .. SLOTS - 1) {
    if
    :: to[n].slot[k].there && !to[n].slot[k].newer ->
       all = 1;
       for (i : 0 .. HOSTS - 1) {
         to[n].slot[k].a[i] = 0; to[n].slot[k].b[i] = 0; to[n].slot[k].leaving[i] = 0;
         all = all && (heard[AT(n, i)] || !to[n].slot[k].says[i]) && (acked[AT(n, i)] || !to[n].slot[k].acks[i])
       };
       free = (all -> k + 1 : free)
    :: else
    fi
  }
}

/* Host h of node n begins to leave S_B: nobody has heard of it yet. */
inline announce_leaving(n, h) {
  node[n].leaving[h] = 1;
  heard[AT(PEER(n), h)] = 0; acked[AT(n, h)] = 0;
  for (k : 0 .. SLOTS - 1) { to[PEER(n)].slot[k].says[h] = 0; to[n].slot[k].acks[h] = 0 }
}

inline end_leaving(n, h) {
  node[n].leaving[h] = 0;
  heard[AT(PEER(n), h)] = 0; acked[AT(n, h)] = 0;
  for (k : 0 .. SLOTS - 1) { to[PEER(n)].slot[k].says[h] = 0; to[n].slot[k].acks[h] = 0 }
}

/* ---- the rules (ReferenceHosts::review) ---- */

#define SUM(x) (x[0] + (HOSTS > 1 -> x[1 % HOSTS] : 0) + (HOSTS > 2 -> x[2 % HOSTS] : 0))
#define STAYING(n, h) (h < HOSTS && IN_B(n, h % HOSTS) && !node[n].leaving[h % HOSTS])
/* The last one of a set never leaves. With one host it is left out, and more happens than may. */
#define LAST_A(n) (HOSTS > 1 && SUM(node[n].wanted.a) <= 1)
#define LAST_B(n) (HOSTS > 1 && STAYING(n, 0) + STAYING(n, 1) + STAYING(n, 2) <= 1)

inline review_host(n, s, h) {
  if
  :: gone ->
#ifdef LEAVES_B_FIRST
     node[n].wanted.b[h] = 0
#else
     node[n].wanted.a[h] = node[n].wanted.a[h] && LAST_A(n);
     if
     :: !node[n].leaving[h] && node[n].wanted.b[h] && !node[n].wanted.a[h] && !LAST_B(n) -> announce_leaving(n, h)
     :: else
     fi
#endif
  :: !gone && node[n].leaving[h] -> end_leaving(n, h)
  :: else
  fi;
#ifdef LEAVES_UNACKNOWLEDGED
  acked[AT(n, h)] = node[n].leaving[h];
#endif
  if
#ifdef LEAVES_UNASKED
  :: node[n].leaving[h] && node[n].wanted.b[h] && acked[AT(n, h)] -> node[n].wanted.b[h] = 0
#else
  :: node[n].leaving[h] && node[n].wanted.b[h] && !to[n].slot[s].a[h] && acked[AT(n, h)] -> node[n].wanted.b[h] = 0
#endif
  :: else
  fi;
  if
  :: back && !node[n].wanted.b[h] -> node[n].wanted.b[h] = 1; end_leaving(n, h)
  :: else
  fi;
#ifdef ENTERS_A_UNASKED
  counts = 1;
#else
#ifdef ENTERS_WHILE_LEAVING
  counts = to[n].slot[s].b[h];
#else
  counts = to[n].slot[s].b[h] && !to[n].slot[s].leaving[h];
#endif
#endif
#ifdef ENTERS_UNSEEN
  answers = 1;
#endif
  if
  :: !node[n].wanted.a[h] && counts && answers -> node[n].wanted.a[h] = 1
  :: else
  fi;
#ifndef ENTRY_NOT_WITHDRAWN
  if
  :: node[n].wanted.a[h] && !node[n].durable.a[h] && !counts -> node[n].wanted.a[h] = 0
  :: else
  fi
#endif
}

/* What this node and its peer see of the host just now, and for how long they have. */
inline choose_weather() {
  if
  :: gone = 1
  :: answers = 1
  :: answers = 1; back = 1
  :: true
  fi
}

/* Peer::heard. Of an earlier life than one already heard: nothing. Overtaken: only its acknowledgement. */
inline read(n, s) {
  if
  :: to[n].slot[s].life >= node[n].hears ->
     if
     :: to[n].slot[s].life > node[n].hears ->
        node[n].hears = to[n].slot[s].life;
        for (i : 0 .. HOSTS - 1) { acked[AT(n, i)] = 0 }; /* what the old daemon knew, the new one may not */
        /* Number one of a new life: its predecessor's announcement is nobody's any more. */
        for (i : 0 .. HOSTS - 1) { heard[AT(n, i)] = 0 }
     :: else
     fi;
     for (i : 0 .. HOSTS - 1) {
       heard[AT(n, i)] = heard[AT(n, i)] || to[n].slot[s].says[i];
       acked[AT(n, i)] = acked[AT(n, i)] || to[n].slot[s].acks[i]
     }
#ifndef OVERTAKEN_COUNT
     if
     :: to[n].slot[s].newer ->
#else
     if
     :: true ->
#endif
        for (k : 0 .. SLOTS - 1) { to[n].slot[k].newer = to[n].slot[k].newer && k > s };
        review(n, s)
     :: else
     fi
  :: else
  fi;
  close_gap(n, s);
#if !defined(OVERTAKEN_COUNT) && !defined(RECORDINGS_COUNT)
  free = 0; outdate(n);
  if
  :: free > 0 -> close_gap(n, free - 1)
  :: else
  fi
#endif
}

#if HOSTS == 1
inline review(n, s) { review_host(n, s, 0); submit(n) }
#else
/* The weather was chosen for one of the hosts; of the others nothing new is seen. */
inline review(n, s) {
  for (free : 0 .. HOSTS - 1) {
    if
    :: free == at_host -> review_host(n, s, free)
    :: else -> skip
    fi
  }
  submit(n)
}
#endif

/* ---- a daemon's death and the start of the next one ---- */

inline restart(n, found) {
  if
  :: found > 0 ->
     for (i : 0 .. HOSTS - 1) {
       node[n].durable.a[i] = node[n].flight[found - 1].a[i]; node[n].durable.b[i] = node[n].flight[found - 1].b[i]
     }
  :: else
  fi;
  for (i : 0 .. HOSTS - 1) {
    node[n].wanted.a[i] = node[n].durable.a[i]; node[n].wanted.b[i] = node[n].durable.b[i];
    end_leaving(n, i);
    /* Nothing that was heard is known any more. */
    heard[AT(n, i)] = 0;
    for (k : 0 .. FLIGHT - 1) { node[n].flight[k].a[i] = 0; node[n].flight[k].b[i] = 0 }
  }
  node[n].flying = 0; node[n].hears = 0; node[n].life++; crashes++;
#ifndef RECORDINGS_COUNT
  /* The seal opens nothing that was sent before this daemon asked (core/challenge.hpp). */
  for (k : 0 .. SLOTS - 1) { clear_slot(n, k) }
#else
  for (k : 0 .. SLOTS - 1) { to[n].slot[k].newer = to[n].slot[k].there }
#endif
}

/* ---- everything that may happen next ---- */

inline may_read(n, s) {
  atomic {
    to[n].slot[s].there && node[n].flying < FLIGHT ->
    choose_weather();
#if HOSTS > 1
    if :: at_host = 0 :: at_host = HOSTS - 1 :: at_host = HOSTS / 2 fi;
#endif
    d_step { read(n, s); printf("SETS node hears"); tell(n); look(); tidy() }
  }
}

inline may_crash(n) {
  atomic {
    crashes < CRASHES && (crashes > 0 || n == 0) -> /* the nodes are alike: be the first to die node 0 */
    /* Any of the states that are on their way may be the one that is found. */
    if
    :: true
    :: node[n].flying > 0 -> k = 1
    :: node[n].flying > 1 -> k = node[n].flying
    fi;
    d_step { free = k; k = 0; restart(n, free); printf("SETS node starts"); tell(n); look(); tidy() }
  }
}

init {
  /* Nothing counts yet; or everything does, at once on both sides (as after long agreement). */
  if
  :: true
  :: d_step {
       for (i : 0 .. HOSTS - 1) {
         node[0].wanted.a[i] = 1; node[0].wanted.b[i] = 1; node[0].durable.a[i] = 1; node[0].durable.b[i] = 1;
         node[1].wanted.a[i] = 1; node[1].wanted.b[i] = 1; node[1].durable.a[i] = 1; node[1].durable.b[i] = 1
       };
       tidy()
     }
  fi;
  do
  :: d_step { send(0, 0); printf("SETS node sends"); tell(0); tidy() }
  :: d_step { send(1, 0); printf("SETS node sends"); tell(1); tidy() }
#if SLOTS > 1
  :: d_step { send(0, 1); printf("SETS node sends"); tell(0); tidy() }
  :: d_step { send(1, 1); printf("SETS node sends"); tell(1); tidy() }
#endif
  :: may_read(0, 0)
  :: may_read(1, 0)
#if SLOTS > 1
  :: may_read(0, SLOTS - 1)
  :: may_read(1, SLOTS - 1)
#endif
  :: d_step { node[0].flying > 0 -> write(0); printf("SETS node writes"); tell(0); look(); tidy() }
  :: d_step { node[1].flying > 0 -> write(1); printf("SETS node writes"); tell(1); look(); tidy() }
  :: may_crash(0)
  :: may_crash(1)
  od
}
