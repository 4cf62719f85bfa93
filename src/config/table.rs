//! The keys: each with its meaning, its cost, its type, its default, its unit and its range, written once.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::bare_urls,
    reason = "the same words stand in the configuration file, where [memory] is a table"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::cores::{CoreSet, Cores};
use super::key::{Change, Key, tables};
use super::origins::{OriginList, Origins};
use super::proxies::{Proxies, ProxyList};
use super::unit::{
    Address, Bytes, Count, File, Filter, GIB, KIB, MIB, OrOff, Path, Percent, Text, Time, Unit,
    Url, Variable,
};
use super::word::{AuthMode, Durability, LogFormat, Word};

const SECOND_MS: u64 = 1000;
const HOUR_MS: u64 = 3600 * SECOND_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A size in bytes as a field holds it.
const fn size(bytes: u64) -> usize {
    bytes as usize
}

tables! {
    /// Where the relay listens. `None`: not at all ("off").
    listen: Listen {
        /// WebSocket and HTTP. Every shard listens here.
        websocket: Option<SocketAddr> = Some(([0, 0, 0, 0], 7400).into()), Address, Restart;
        /// Plain TCP: the protocol's frames and nothing around them. Every shard listens here.
        tcp: Option<SocketAddr> = Some(([0, 0, 0, 0], 7401).into()), Address, Restart;
        /// The web pages that may open a WebSocket or an event stream, by their Origin, as in "https://app.example,
        /// https://beta.example". "*": all of them. Pages of other origins are refused; clients that are no browsers send
        /// no Origin, and are not.
        origins: Origins = Origins::Any, OriginList, Reload;
        /// The proxies in front of it. A request that one of them sends over listen.websocket has as its client's address
        /// the last one in its X-Forwarded-For that is none of these; that of everybody else is not looked at. List the
        /// proxies alone: whoever has one of these addresses can say that it is anybody. docs/proxy.md has more.
        proxies: Proxies = Proxies::default(), ProxyList, Reload;
        /// Whether a browser that opens the relay's address sees the demo: an editor, a whiteboard, and what the relay
        /// does. It is in the binary, and can do no more than any other page.
        demo: bool = true, Word, Reload;
        /// Health, metrics and administration. It asks for no credential: keep it on the loopback.
        admin: Option<SocketAddr> = Some(([127, 0, 0, 1], 7402).into()), Address, Restart;
    }

    /// One pinned executor for each core.
    shards: Shards {
        /// The cores that get a shard. Each has a memory budget of its own, see [memory], and its documents to itself.
        cores: Cores = Cores::All, CoreSet, Restart;
        /// A turn of a shard that takes longer is counted as a stall: for so long its clients wait for everything.
        stall_after: Duration = Duration::from_millis(20), Time(1..=60 * SECOND_MS), Reload;
    }

    /// Where operations are kept, and when they count as kept.
    store: Store {
        /// Where documents are kept. One relay at a time.
        path: PathBuf = PathBuf::from("./data"), Path, Restart;
        /// When an operation is acknowledged: after it is synced to disk ("always"), or after it is written and before it
        /// is synced ("interval", "never"). In the last two a crash of the machine can lose acknowledged operations.
        durability: Durability = Durability::Always, Word, Restart;
        /// How often durability = "interval" syncs: what a crash of the machine can lose, in time.
        sync_interval: Duration = Duration::from_secs(1), Time(10..=60 * SECOND_MS), Restart;
        /// The most bytes of operations in one commit. More of them share one sync, and each waits for more to be written.
        commit_bytes_max: usize = size(8 * MIB), Bytes(64 * KIB..=GIB), Restart;
        /// How long a commit waits for more, at most, in microseconds. It does only after commits of 64 operations and
        /// more, and then for an eighth of what the last one took: fewer commits and fewer sends, each with more in it.
        gather_us: Option<u64> = Some(500), OrOff(Count(1..=100_000)), Restart;
        /// Requests that wait for the committer, per shard. When the queue is full the shard keeps them, and reads no
        /// connection when they come to memory.pending_bytes_max.
        queue_requests_max: usize = 4096, Count(16..=1_048_576), Restart;
        /// The block cache of the embedded store. More of it spares reads from disk when documents open.
        cache_bytes: usize = size(64 * MIB), Bytes(MIB..=1024 * GIB), Restart;
        /// What the embedded store holds of what it has written before that goes to its tables: one buffer that fills and
        /// three that wait. Writes stop while all three wait for the disk.
        write_buffer_bytes: usize = size(320 * MIB), Bytes(20 * MIB..=64 * GIB), Restart;
        /// How fast a backup copies while the relay runs, in bytes per second. Slower leaves more of the disk, and of a
        /// core, to clients.
        backup_bytes_per_second: usize = size(32 * MIB), Bytes(64 * KIB..=1024 * GIB), Restart;
        /// What a backup leaves free on the file system that it is written to. When no more is left it is given up, before
        /// a store on the same file system is in need.
        backup_free_bytes_min: usize = size(256 * MIB), Bytes(MIB..=1024 * GIB), Restart;
    }

    /// One client's connection.
    connection: Connection {
        /// Connections per shard; of more, each is refused. Each needs a file descriptor (LimitNOFILE).
        count_max: usize = 20_000, Count(1..=1_000_000), Reload;
        /// Connections of one address, on all shards together; of IPv6, of one /64. 100 leave room for an office behind one
        /// address. Behind a proxy all clients have its address, unless listen.proxies names it; over listen.tcp those that
        /// it names are not counted.
        per_address_max: Option<usize> = None, OrOff(Count(1..=1_000_000)), Reload;
        /// Connections of one user, on all shards together. A connection that is lost counts until it is given up, after
        /// connection.pong_timeout; so leave room for a user whose devices come back.
        per_user_max: Option<usize> = None, OrOff(Count(1..=1_000_000)), Reload;
        /// The longest frame that a client may send. Larger ones hold up everything behind them for longer.
        message_bytes_max: usize = size(MIB), Bytes(4 * KIB..=64 * MIB), Restart;
        /// The most operations in one batch, which is applied, stored and acknowledged as a whole.
        batch_operations_max: usize = 1000, Count(1..=65_536), Restart;
        /// Documents that one connection may have open.
        documents_max: usize = 100, Count(1..=65_536), Reload;
        /// From accept to Hello, the HTTP handshake included. A stranger can hold a connection for this long. The body of a
        /// request may take as long to arrive, and what is posted to an event stream as long again to be taken.
        handshake_timeout: Duration = Duration::from_secs(10), Time(100..=HOUR_MS), Reload;
        /// The largest head of an HTTP request.
        handshake_bytes_max: usize = size(16 * KIB), Bytes(KIB..=MIB), Reload;
        /// What has arrived of the bodies of HTTP requests that have not arrived whole, and what is posted to event streams
        /// and waits until the relay can take it. Where there is more, of the former those are refused that have the least
        /// time left. Each counts twice its size.
        posted_bytes_max: usize = size(32 * MIB), Bytes(8 * KIB..=64 * GIB), Reload;
        /// How long a connection is kept for the next HTTP request. Longer saves clients who ask or post now and then a new
        /// connection each time.
        keep_alive_timeout: Duration = Duration::from_secs(30), Time(100..=HOUR_MS), Reload;
        /// A connection that was quiet for this long is pinged. Shorter finds dead peers sooner and wakes idle ones more
        /// often; many proxies close what is quiet for a minute.
        ping_period: Duration = Duration::from_secs(54), Time(100..=DAY_MS), Reload;
        /// A connection that was quiet for this long is closed. If by then the ping has not even arrived, because the line is
        /// full of what was sent before, it is waited for as long as connection.write_timeout says.
        pong_timeout: Duration = Duration::from_secs(60), Time(200..=DAY_MS), Reload;
        /// A connection whose client takes nothing for this long, though there is something to send, is closed. The relay
        /// looks four times in that time at what has arrived, so it can be a quarter longer. Who takes little at a time stays,
        /// as long as memory.output_bytes_max lasts.
        write_timeout: Duration = Duration::from_secs(10), Time(100..=HOUR_MS), Reload;
        /// Unacknowledged operations of one connection, past which it is not read.
        inflight_bytes_max: usize = size(4 * MIB), Bytes(4 * KIB..=GIB), Reload;
    }

    /// Requests of the HTTP interface and for the demo's files.
    http: Http {
        /// Requests that are being answered at one time, over all shards; of more, each is told to try again. Those whose
        /// body is still to come, or whose answer is on its way, are not among them. Each about a document is a connection
        /// to its shard, and counts there.
        requests_max: usize = 256, Count(1..=65_536), Reload;
        /// What these requests and their answers may hold. What does not fit is told to try again; then answers that have
        /// been on their way for longer than connection.write_timeout are given up. The largest text must fit four times:
        /// as it comes, as text, as JSON, and with what JSON adds.
        bytes_max: usize = size(512 * MIB), Bytes(MIB..=1024 * GIB), Reload;
        /// How long the relay may take for one request. The body may take connection.handshake_timeout to arrive, and the
        /// answer connection.write_timeout without anything of it being taken.
        request_timeout: Duration = Duration::from_secs(30), Time(100..=HOUR_MS), Reload;
    }

    /// How fast clients may go. What comes faster is refused with RATE_LIMITED.
    rate: Rate {
        /// Operations per second of one connection, on each shard where it has documents. All rates are "off" at first,
        /// because what is too fast is for the application to say: whoever can write may then use what is left of a
        /// core and of the disk. For people who type and draw, 50 are plenty.
        /// A batch is taken when there is something left of each of its rates, and may use more than is left: then the
        /// next one waits until that is made up for.
        connection_operations_per_second: Option<u64> = None, OrOff(Count(1..=1_000_000)), Reload;
        /// Bytes of operations per second of one connection, on each shard where it has documents. A batch that is
        /// sent again and was applied counts here, and not as operations. For people, 64 KiB are plenty.
        connection_bytes_per_second: Option<u64> = None, OrOff(Bytes(1..=GIB)), Reload;
        /// Requests per second of one connection that are neither operations nor presence: Hello, Open, SyncRequest,
        /// SnapshotOffer, Delete, List and Ping. For people, 10 are plenty.
        connection_requests_per_second: Option<u64> = None, OrOff(Count(1..=1_000_000)), Reload;
        /// Operations per second of all connections of one user, on each shard. The user is the tenant's and the token's
        /// where tokens are asked for, otherwise whomever the client names; one that names nobody is not limited. Each
        /// shard remembers the users who are there, and up to connection.count_max others until their rates are unused.
        user_operations_per_second: Option<u64> = None, OrOff(Count(1..=1_000_000)), Reload;
        /// Bytes of operations per second of all connections of one user, on each shard.
        user_bytes_per_second: Option<u64> = None, OrOff(Bytes(1..=GIB)), Reload;
        /// Operations per second of all clients to one document. Each is sent to all its subscribers.
        document_operations_per_second: Option<u64> = None, OrOff(Count(1..=1_000_000)), Reload;
        /// Bytes of operations per second of all clients to one document.
        document_bytes_per_second: Option<u64> = None, OrOff(Bytes(1..=GIB)), Reload;
        /// How many seconds' worth of each rate may come at once. A client that comes back sends what it has gathered.
        burst: Duration = Duration::from_secs(10), Time(SECOND_MS..=HOUR_MS), Reload;
    }

    /// Who clients are, and what they may do.
    auth: Auth {
        /// Who a client is: whoever it says, free to do everything with every document ("none", for development); whom its
        /// JSON Web Token names, free to do what that grants ("jwt"); or who a backend of yours says ("webhook"). With
        /// "jwt", exactly one of the next five keys says where the relay finds what it checks tokens with.
        mode: AuthMode = AuthMode::None, Word, Restart;
        /// The public key that belongs to the tokens' private one, in PEM form: RSA (RS256), EC P-256 (ES256) or Ed25519
        /// (EdDSA). Or up to eight, one after the other: a token of any of them is good, so that one can be changed for
        /// another.
        jwt_key_file: Option<PathBuf> = None, File, Reload;
        /// A set of such keys, as a JSON Web Key Set. A token says with its kid which of them it was signed with.
        jwks_file: Option<PathBuf> = None, File, Reload;
        /// Where to ask for such a set: once before the relay serves, and again and again while it does. A time without an
        /// answer leaves the keys as they are. Over http:// whoever is on the way can put in keys of their own.
        jwks_url: Option<Uri> = None, Url, Reload;
        /// How often the set of auth.jwks_url is asked for: for so long a key that was taken out of it is still good.
        jwks_refresh: Duration = Duration::from_secs(300), Time(SECOND_MS..=DAY_MS), Reload;
        /// How old the set is at least when a token that names a key that is not in it has it asked for at once.
        jwks_refetch_after: Duration = Duration::from_secs(10), Time(100..=HOUR_MS), Reload;
        /// A secret of at least 32 bytes, shared with whoever makes tokens (HS256). Or up to eight, a line each: a token of
        /// any of them is good, so that one can be changed for another.
        jwt_secret_file: Option<PathBuf> = None, File, Reload;
        /// The environment variable that holds such secrets.
        jwt_secret_env: Option<String> = None, Variable, Reload;
        /// Tokens must name this issuer (iss).
        jwt_issuer: Option<String> = None, Text, Reload;
        /// Tokens must be meant for this audience (aud). Without it, tokens that name an audience are refused.
        jwt_audience: Option<String> = None, Text, Reload;
        /// How far the clock of whoever makes tokens may be off. Each token is taken for this much longer.
        leeway: Duration = Duration::from_secs(30), Time(1..=600 * SECOND_MS), Reload;
        /// Where mode = "webhook" asks about a token: POST {"token": …, "client": …}. The answer is 200 with the members of a
        /// token (sub, name, tenant, documents, permissions, exp), or 401 or 403. Anything else, or none, tells the client
        /// to try again.
        webhook_url: Option<Uri> = None, Url, Reload;
        /// How long the answer may take. The client waits.
        webhook_timeout: Duration = Duration::from_secs(5), Time(10..=600 * SECOND_MS), Reload;
        /// How long a grant is good for the same token of the same client without asking again: for so long a client that
        /// reconnects notices nothing of a change, and of a backend that is down.
        webhook_cache: Duration = Duration::from_secs(30), Time(1..=HOUR_MS), Reload;
        /// A secret that is sent along as "Authorization: Bearer …", so that the backend knows who asks.
        webhook_secret_file: Option<PathBuf> = None, File, Reload;
        /// Tokens that are being asked about, per shard. When there are as many, a client is told to try again.
        webhook_inquiries_max: usize = 256, Count(1..=65_536), Reload;
        /// How long a token may live: from its iat, or from now where it has none, until its exp. One that lives longer is
        /// refused, so that a revocation can be forgotten after this time.
        token_lifetime_max: Duration = Duration::from_secs(720 * 3600), Time(60 * SECOND_MS..=366 * DAY_MS), Reload;
        /// Revocations that are remembered. When there are as many, further ones are refused; each writes the whole list.
        revocations_max: usize = 8192, Count(1..=262_144), Reload;
        /// The longest token.
        token_bytes_max: usize = size(8 * KIB), Bytes(256..=64 * KIB), Reload;
    }

    /// Webhooks: your own address is told what happens to documents, as the Standard Webhooks specification has it, at
    /// least once and in order for each document. What is still to be told is in the store.
    notify: Notify {
        /// Where to POST that a document was created, changed, deleted or restored, and that its first peer joined or its
        /// last one left. Over http:// whoever is on the way can read it. Each such change is a row in the store. After a reload
        /// what waits goes to the new address.
        url: Option<Uri> = None, Url, Told;
        /// The secrets that sign it, a line each: "whsec_" and 24 to 64 bytes in base64. Each of them signs everything, so
        /// that one can be changed for another; the file is read again when it changes.
        secret_file: Option<PathBuf> = None, File, Told;
        /// Whether it is told of peers, too.
        peers: bool = true, Word, Restart;
        /// A change is told when the document has not changed for this long: then one notice stands for everything since the
        /// last.
        debounce: Duration = Duration::from_secs(2), Time(1..=HOUR_MS), Reload;
        /// It is told at the latest after this time, however busy the document is.
        debounce_max: Duration = Duration::from_secs(30), Time(1..=DAY_MS), Reload;
        /// That a document has peers, or none any more, is told when it has been so for this long. Whoever comes back within
        /// this time has not left, also where the relay was restarted meanwhile.
        peers_debounce: Duration = Duration::from_secs(10), Time(1..=HOUR_MS), Reload;
        /// How long the answer to one notice may take, which is any 2xx.
        timeout: Duration = Duration::from_secs(15), Time(10..=600 * SECOND_MS), Reload;
        /// How many notices are sent at one time, each of another document.
        requests_max: usize = 8, Count(1..=1024), Reload;
        /// The longest pause before a notice is sent again; the first is half a second, and each is twice the one before.
        retry_pause_max: Duration = Duration::from_secs(60), Time(100..=HOUR_MS), Reload;
        /// A notice that is older than this when it fails again is given up.
        retry_for: Duration = Duration::from_secs(24 * 3600), Time(SECOND_MS..=30 * DAY_MS), Reload;
        /// Notices, and documents that have changed, that wait. While there are as many, what happens is not told. Each takes
        /// memory.
        queue_max: usize = 100_000, Count(16..=10_000_000), Restart;
    }

    /// What each tenant may have, over all shards. Where nobody asks for tokens there is one tenant, without a name.
    quota: Quota {
        /// Connections; one more is refused at Hello.
        connections_max: Option<u64> = None, OrOff(Count(1..=100_000_000)), Counted;
        /// Documents; the first operation of one more is refused.
        documents_max: Option<u64> = None, OrOff(Count(1..=1_000_000_000_000)), Counted;
        /// Bytes of operations and snapshots that are stored. A tenant that has as many can still read. The one
        /// batch that reaches the limit is taken whole.
        stored_bytes_max: Option<u64> = None, OrOff(Bytes(KIB..=1_048_576 * GIB)), Counted;
    }

    /// One document's state and life.
    document: Document {
        /// The state of one document of a kind that the relay reads ("text"). An edit that would make it larger is refused.
        bytes_max: usize = size(64 * MIB), Bytes(KIB..=GIB), Reload;
        /// Different writers over a document's whole life. The document remembers each, for ever, so as to apply no
        /// operation twice; one writer more is refused.
        clients_max: usize = 65_536, Count(1..=16_777_216), Restart;
        /// Operations kept in memory to transform late ones against ("text"). A client that is further behind has to
        /// catch up before it can edit.
        history_operations_max: usize = 8192, Count(16..=1_048_576), Reload;
        /// The bytes of these operations.
        history_bytes_max: usize = size(4 * MIB), Bytes(4 * KIB..=GIB), Reload;
        /// Revisions that have names. One more is refused. They go with the document, and count towards no quota.
        versions_max: usize = 1000, Count(1..=1000), Reload;
        /// Whether the operations of a "log" that a client's snapshot stands for are removed. Without it history is kept
        /// for ever, and joins get the snapshot all the same.
        log_compaction: bool = true, Word, Reload;
        /// How long a deleted document can be brought back. Then it is gone for good.
        delete_grace: Duration = Duration::from_secs(7 * 24 * 3600), Time(100..=365 * DAY_MS), Reload;
        /// How long a document stays in memory after its last subscriber left, and how long after its newest operation
        /// it keeps there what late operations and slow subscribers need. Longer spares reading from the store.
        idle_timeout: Duration = Duration::from_secs(300), Time(100..=DAY_MS), Reload;
        /// A snapshot is stored after this many operations, or later where it would be larger than they were. More often
        /// shortens what is replayed when a document opens, and writes more. A document that has been idle for
        /// document.idle_timeout and is not as large as its operations were replays fewer than so many when it opens again.
        snapshot_operations: u64 = 100, Count(1..=1_000_000_000), Reload;
        /// A snapshot is stored after this long too, if there were any operations and it is not larger than they were.
        snapshot_period: Duration = Duration::from_secs(300), Time(SECOND_MS..=DAY_MS), Reload;
    }

    /// How operations reach subscribers, and how far one may fall behind.
    fanout: Fanout {
        /// Slots of a document's operation ring; a slot holds one batch.
        ring_slots: usize = 1024, Count(16..=1_048_576), Reload;
        /// Bytes of a document's operation ring; one larger batch is kept all the same. It is filled only as far as a
        /// document is edited, and counts towards memory.document_bytes_max.
        ring_bytes_max: usize = size(2 * MIB), Bytes(4 * KIB..=GIB), Reload;
        /// Slots of a document's presence ring; a slot holds one update.
        presence_ring_slots: usize = 256, Count(16..=65_536), Reload;
        /// How far a subscriber may fall behind, in operations. Past it the subscriber is lapped: it gets one resync from
        /// the store in place of what it missed.
        lag_operations_max: u64 = 1000, Count(1..=1_048_576), Reload;
        /// The same in bytes; whichever comes first.
        lag_bytes_max: usize = size(MIB), Bytes(4 * KIB..=GIB), Reload;
        /// How much of either limit brings the warning, past which the subscriber gets no presence.
        warning_percent: u64 = 80, Percent(1..=99), Reload;
        /// A document with so many subscribers is served by all shards: who connects to it from then on stays on the shard
        /// that accepts the connection, and each shard sends to its own. That spreads the sends, and costs a ring on each
        /// shard and a message between two of them for each event. At 256 one shard sends for about a millisecond, far
        /// longer than it takes to wake another. "off": one shard sends to all, however many they are.
        edge_subscribers_min: Option<usize> = Some(256), OrOff(Count(1..=1_000_000)), Reload;
        /// The most bytes of one send to one subscriber. More means fewer sends to a busy one, and longer turns.
        flush_bytes_max: usize = size(64 * KIB), Bytes(KIB..=16 * MIB), Reload;
        /// How long a shard that has something to send waits for more, in microseconds. It means fewer sends, and that
        /// everything comes so much later: for a relay that is short of processor time. One that is busy all the time
        /// gathers without it.
        coalesce_us: Option<u64> = None, OrOff(Count(1..=100_000)), Reload;
    }

    /// Who is there, and where their cursor is. Never stored.
    presence: Presence {
        /// Updates per second and client that are passed on; of more, the newest wins.
        updates_per_second_max: u32 = 10, Count(1..=1000), Reload;
        /// How long a presence lives without an update or a heartbeat.
        ttl: Duration = Duration::from_secs(30), Time(100..=HOUR_MS), Reload;
        /// The largest presence of one client. The relay keeps one for every client of an open document.
        bytes_max: usize = size(64 * KIB), Bytes(64..=MIB), Reload;
        /// All presences of one document. A client that joins gets them in one message.
        document_bytes_max: usize = size(MIB), Bytes(64 * KIB..=64 * MIB), Reload;
    }

    /// What each shard may hold, in bytes, and in which pages the system gives it. The sum of the bytes over the shards,
    /// and what the store holds, is the budget that is printed at start.
    memory: Memory {
        /// Pieces of frames that have not arrived whole. When it is used up, a client whose frame does not arrive in one
        /// piece is refused.
        input_bytes_max: usize = size(64 * MIB), Bytes(64 * KIB..=1024 * GIB), Reload;
        /// What sockets have not taken: unsent rests, replies, pages, frames from other shards, and the state vectors of
        /// clients that catch up by one. When it is used up, a client that does not take what it is sent is closed, and who
        /// comes with a state vector is told to try again.
        output_bytes_max: usize = size(128 * MIB), Bytes(64 * KIB..=1024 * GIB), Reload;
        /// Open documents: state, history, rings, presence, tables of clients, and who waits for a document to be loaded.
        /// When it is used up, idle documents are
        /// dropped; when that is not enough, operations and further documents are refused for the time being.
        document_bytes_max: usize = size(1024 * MIB), Bytes(MIB..=1024 * GIB), Reload;
        /// Operations that are on their way to the disk, past which no connection is read.
        pending_bytes_max: usize = size(64 * MIB), Bytes(64 * KIB..=1024 * GIB), Reload;
        /// Documents that are being loaded from the store at one time. Further ones wait.
        document_loads_max: usize = 64, Count(1..=65_536), Reload;
        /// Reads from the store at one time, to catch up or of what has happened, each up to memory.catch_up_page_bytes, and
        /// as many lists. Further ones wait.
        catch_up_reads_max: usize = 64, Count(1..=65_536), Reload;
        /// What one read from the store brings to a client that catches up. A client that leaves more than this unread is
        /// not read either.
        catch_up_page_bytes: usize = size(256 * KIB), Bytes(4 * KIB..=16 * MIB), Reload;
        /// Bytes on their way between two shards for one connection, in each direction, and for one busy document.
        lane_window_bytes: usize = size(256 * KIB), Bytes(4 * KIB..=16 * MIB), Restart;
        /// Whether the relay's memory may be huge pages, if the kernel gives them to who asks. They cost less to use. But to
        /// begin one takes a fifth of a millisecond, and several on a virtual machine whose host gives it memory as it
        /// goes, and everybody on that core waits.
        huge_pages: bool = false, Word, Restart;
    }

    /// The planned stop, which SIGTERM begins.
    shutdown: Shutdown {
        /// How long /readyz says that the relay is not ready before clients are told to come back later and nobody is
        /// taken any more: as long as a load balancer needs to notice. "off": they are told at once.
        pause: Option<Duration> = None, OrOff(Time(100..=600 * SECOND_MS)), Reload;
        /// How long clients may then take what they are owed. Connections that are left are closed.
        timeout: Duration = Duration::from_secs(5), Time(100..=HOUR_MS), Reload;
    }

    /// What the relay says of itself, on standard error.
    log: Log {
        /// What is logged. On the admin address, GET /log says what that is and PUT /log changes it until the next reload.
        filter: String = "warn,corelay=info".to_owned(), Filter, Reload;
        /// How a line is written: for people, or as one JSON object.
        format: LogFormat = LogFormat::Text, Word, Reload;
    }
}
