import { INITIAL_WINDOW_BYTES } from '../src/protocol/limits.ts';

// Every limit of the agent but those of the protocol. Each is a name, so that a log line or a test can say which was met.

/** Copies of one session that its laptop has not done with; of one more nothing is sent. */
export const MAX_OPEN_COPIES = 256;
/** Open connections on all route ports together; one more is accepted and reset. */
export const MAX_CONNECTIONS = 10_000;
/** What all connections together may keep for peers that have not moved for HELD_STILL_MS; who keeps most is reset. */
export const MAX_STILL_BYTES = 32 * 1024 * 1024;
export const HELD_STILL_MS = 1_000;
/** The same of all connections, moving or not: beyond it new ones are reset, too. The agent's container has 256 MiB. */
export const MAX_HELD_BYTES = 64 * 1024 * 1024;
/** Received and unread bytes of one tunnel; beyond it the stream that holds most is reset. */
export const MAX_TUNNEL_QUEUED_BYTES = 32 * 1024 * 1024;
/** What all tunnels together may keep; beyond it the one that keeps most is cut. */
export const MAX_TUNNELS_BYTES = 96 * 1024 * 1024;
/** The same of those that have not moved for HELD_STILL_MS. */
export const MAX_STILL_TUNNELS_BYTES = 64 * 1024 * 1024;
/** How often it is looked at what they keep. */
export const HELD_CHECK_MS = 50;
/** File descriptors that callers leave for tunnels, sessions' connections, DNS and files. */
export const RESERVED_DESCRIPTORS = 1_024;
/** Peers on the tunnel port that have not proved they hold the Secret's key. */
export const MAX_UNAUTHENTICATED_PEERS = 32;
/** Sessions with a carrier at the same time. */
export const MAX_SESSIONS = 512;
/** Requests of one session that have no answer yet. */
export const MAX_PENDING_REQUESTS = 64;
/** Intercepts of one session. */
export const MAX_INTERCEPTS = 64;
/** A session whose intercepts nobody has used for this long may be ended by one that asks for what it has (`--take-over`). */
export const TAKE_OVER_IDLE_MS = 60_000;
/** A certificate with its chain, or a key. */
export const MAX_PEM_BYTES = 128 * 1024;
/** How long callers may wait for a process that its session says is away for a moment. */
export const MAX_HOLD_MS = 60_000;
/** How long a claim outlives its carrier: refuses others, and the session may come back to it. */
export const CLAIM_GRACE_MS = 30_000;
/**
 * How long new callers wait for a laptop whose carrier has just been lost; then the app answers. A carrier that went silent is
 * found dead within 3.5 s (LINK_* in src/mux/limits.ts): whatever becomes of a laptop, all callers have the app within 5 s.
 */
export const HOLD_DETACHED_MS = 1_000;
/** Sessions that are away and whose open streams wait for them; of more, the one that has been away for longest is not waited for. */
export const MAX_DETACHED_LINKS = 64;
/** What all of them together keep for their laptops; beyond it the one that keeps most is not waited for. */
export const MAX_DETACHED_BYTES = 48 * 1024 * 1024;
/** A session that was told to go and did not is cut after this time. */
export const EVICT_CLOSE_MS = 2_000;
/**
 * How long a session may take to say OPENED or refuse; then the app answers. Longer than a session holds callers of a
 * process that restarts (2 s), shorter than a silent carrier takes to be found dead: new callers wait no longer than this.
 */
export const OPEN_TIMEOUT_MS = 3_500;
/** A caller that nobody will answer may say first that it speaks HTTP, to be told why. */
export const REFUSAL_PEEK_MS = 1_000;
/** How long a caller may take to close a connection that is over for us. */
export const LINGER_MS = 5_000;
/** A kept connection is ended after this long without a byte, so that its next request can be routed. */
export const KEEP_ALIVE_IDLE_MS = 500;
export const APP_CONNECT_TIMEOUT_MS = 30_000;
/** What is kept for the app until the session says OPENED; a caller that sent more waits. */
export const MAX_REPLAY_BYTES = INITIAL_WINDOW_BYTES;
/** Of an HTTP request that a laptop has and has not answered a byte of: for the app, should the laptop vanish. */
export const MAX_UNANSWERED_BYTES = 64 * 1024;
/** A socket's write queue: one read of libuv (64 KiB) must fit, or every chunk costs a pause and a resume. */
export const SOCKET_HIGH_WATER_BYTES = 128 * 1024;
/** How long a new connection may keep its first bytes back while the agent waits for a proof request. */
export const PROOF_PEEK_MS = 25;
/** How long who got a proof may take to close. */
export const PROOF_LINGER_MS = 1_000;
export const MAX_PROOF_REQUEST_BYTES = 4 * 1024;
export const MAX_ARMED_PROOFS = 64;
export const MAX_PROOF_TTL_MS = 60_000;
export const MAX_PROVE_TIMEOUT_MS = 30_000;
/** Without a session the pod becomes ready this long after start. */
export const READY_WITHOUT_CLAIM_MS = 2_000;
/** After SIGTERM: how long an idle agent stays for callers that have not heard yet. */
export const DRAIN_LINGER_MS = 10_000;
export const DRAIN_POLL_MS = 200;
/** A caller that comes then has this long to ask; its connection is closed behind the answer. */
export const DRAIN_LATE_MS = 1_000;
/** The app of a pod that is being stopped hears of it no sooner: until then nodes' proxies may send callers. 1 s is too short on a busy node. */
export const DRAIN_MIN_MS = 5_000;
/** Nor while callers came within this time (DRAIN_MAX_MS at most). */
export const DRAIN_QUIET_MS = 1_000;
/** The kubelet runs the hook and sends the agent SIGTERM at the same time; without the signal it is not the pod that ends. */
export const STOP_SIGNAL_WAIT_MS = 3_000;
/** Connections to the drain port: one a container, and strangers'. */
export const MAX_DRAIN_PEERS = 64;

/** Folders, files and links looked at for one list of the app's volumes. */
export const MAX_VOLUME_ENTRIES = 50_000;
export const MAX_VOLUME_DEPTH = 64;
/** Globs in one request. */
export const MAX_EXCLUDES = 256;
/** Folders of the app's volumes that are watched; changes in others are found by looking, at this interval. */
export const MAX_WATCHED_FOLDERS = 256;
export const VOLUMES_POLL_MS = 15_000;
/** Changes that come together are told once: the kubelet renames, removes and makes several entries for one update. */
export const VOLUMES_SETTLE_MS = 250;
/** Files of the app's volumes that are read at the same time; others wait. */
export const MAX_OPEN_FILES = 16;

/** Streams into the pod's network that are being served, of all sessions together. */
export const MAX_OUTGOING = 8_192;
/** Of a connection out of the pod, looking up the name included. */
export const OUTGOING_CONNECT_TIMEOUT_MS = 30_000;
/** Of each address of a name but the last. Node gives up an address before it tries the next: not so soon as its 250 ms. */
export const OUTGOING_ATTEMPT_TIMEOUT_MS = 2_500;
/** Clients of one UDP route port; of one more, who was silent for longest is forgotten. */
export const MAX_DATAGRAM_FLOWS = 2_048;
/** Of one flow, until the laptop takes it or the app gets them. */
export const MAX_KEPT_DATAGRAM_BYTES = 64 * 1024;
/** Datagrams: how long nothing may pass either way; conntrack has 30 s and 120 s. */
export const UDP_IDLE_MS = 60_000;
export const UDP_ANSWERED_IDLE_MS = 120_000;
/** How long answers may still come when the session said that it sends no more. */
export const UDP_ENDED_IDLE_MS = 10_000;
/** Datagrams that the kernel has not taken yet; more are dropped. */
export const MAX_UDP_UNSENT_BYTES = 1024 * 1024;

/** From the question's arrival to SERVFAIL. */
export const DNS_DEADLINE_MS = 5_000;
/** Without an answer for this long the next server is asked, or the same again; an answer that comes later still counts. */
export const DNS_TRY_MS = 1_000;
/** Questions asked at the same time: more would overrun the socket buffer of one resolver. Each takes a socket. */
export const MAX_DNS_ACTIVE = 128;
/** Questions that wait for their turn; one more is answered SERVFAIL. */
export const MAX_DNS_WAITING = 2_048;
/** A connection to a resolver is kept for the next large answer. */
export const DNS_TCP_IDLE_MS = 10_000;
/** Answers that a session does not read; more are dropped. */
export const MAX_DNS_UNREAD_BYTES = 1024 * 1024;
export const MAX_PATH_BYTES = 4_096;
