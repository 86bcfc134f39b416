/**
 * Every hard cap, once, each with its reason. Those that the core needs too are generated into
 * `native/core/src/generated.rs` by `npm run generate`, which reads the lines below as they stand:
 * a one-line comment, then `name: digits,`.
 */
export const LIMITS = {
	/** A WebSocket frame in bytes: a larger one would hold the event loop for tens of milliseconds. */
	frameBytesMax: 8_388_608,
	/** A record batch on disk in bytes, header included: half a read window, so that every batch lies whole in one. */
	batchBytesMax: 8_388_608,
	/** What one batch may expand to when decompressed, in bytes: bounds a decompression bomb. */
	batchBytesDecompressedMax: 67_108_864,
	/** What the batches of one produce frame may expand to together, in bytes; a larger Kafka request may in proportion. */
	frameBytesDecompressedMax: 268_435_456,
	/** Produce frames of an event loop that wait for another thread, in bytes; one connection takes at most what it leaves to others. */
	elsewhereBytesMax: 268_435_456,
	/** Records in one batch. */
	batchRecordsMax: 1_048_576,
	/** Headers of one record. */
	recordHeadersMax: 1_024,
	/** Topic-partition entries in one produce frame. */
	produceEntriesMax: 1_024,
	/** Nesting of a MessagePack frame's own structure. */
	nestingMax: 16,
	/** Bytes of half-sent messages that all WebSocket connections of an event loop may hold together, where the library tells of them. */
	webSocketHeldBytesMax: 536_870_912,
	/** Unanswered produce bytes of one connection; past twice of it the connection is closed. */
	inFlightBytesMax: 16_777_216,
	/** Unanswered requests of one connection. */
	inFlightRequestsMax: 1_024,
	/** Credit in bytes that one subscription may hold. */
	creditBytesMax: 67_108_864,
	/** Credit in records that one subscription may hold. */
	creditRecordsMax: 10_000_000,
	/** Subscriptions of one connection. */
	subscriptionsMax: 1_024,
	/** Topic aliases of one connection. */
	aliasesMax: 1_024,
	/** One delivery in bytes, unless a single batch is larger. */
	deliveryBytesMax: 262_144,
	/** What one step of checking a partition reads, in bytes: a thread is busy with it for tens of milliseconds. */
	verifyStepBytesMax: 16_777_216,
	/** Checks of partitions that wait for one another in an event loop. */
	verifyWaitingMax: 64,
	/** A cached read window in bytes; windows start at every half of it, so that they overlap. */
	readWindowBytes: 16_777_216,
	/** Address space of all cached read windows of a process in bytes. */
	readWindowsBytesMax: 268_435_456,
	/** Address ranges that a store places one large read window after the other in; further ones get addresses of their own. */
	readSlotsMax: 64,
	/** Batches that readers of records have taken apart, in bytes, but always one: they are read piece by piece. */
	openBatchesBytesMax: 67_108_864,
	/** Bytes that wait for one socket; beyond, the client does not read its answers and is closed. */
	sendBufferBytesMax: 16_777_216,
	/** One delivery in bytes while many sockets are backed up: bounds what they hold together. */
	deliveryBytesSmall: 32_768,
	/** Backed-up sockets from which on deliveries are small. */
	backedUpSessionsMax: 64,
	/** Bytes that deliveries send before the event loop takes its next turn. */
	deliveryTurnBytesMax: 1_048_576,
	/** From the upgrade to hello in milliseconds. */
	helloMsMax: 5_000,
	/** From a connection to the end of its TLS handshake, in milliseconds. */
	tlsHandshakeMsMax: 10_000,
	/** From a Kafka client's connection to its having said who it is, in milliseconds. */
	saslMsMax: 20_000,
	/** A Kafka request in bytes while it is not known who asks: Kafka's sasl.server.max.receive.size. */
	saslFrameBytesMax: 524_288,
	/** Users with passwords. */
	usersMax: 100_000,
	/** A user's name in bytes. */
	userNameBytesMax: 1_024,
	/** A user's name, a password or a token that a client presents, in bytes: tokens with many claims have some KiB. */
	credentialBytesMax: 65_536,
	/** How long a ticket waits to be used, in milliseconds: a page asks for one when it connects. */
	ticketMsMax: 30_000,
	/** Tickets that wait to be used. */
	ticketsMax: 10_000,
	/** Tickets of one user that wait to be used, so that nobody takes all. */
	ticketsOfUserMax: 1_000,
	/** A password's salt in bytes. */
	saltBytesMax: 1_024,
	/** The key set that tokens are checked with, in bytes: hundreds of keys. */
	jwksBytesMax: 262_144,
	/** How long that key set may take to come, in milliseconds: logins wait for it. */
	jwksMsMax: 5_000,
	/** Addresses whose failed attempts to log in are remembered. */
	failedAddressesMax: 10_000,
	/** How long an address that goes on guessing passwords waits for an answer, in milliseconds. */
	failedDelayMsMax: 5_000,
	/** Logins of one address that are looked at, or whose refusal is not told yet: one client with an old password holds up no others behind a NAT. */
	loginsOfAddressMax: 4,
	/** Passwords that are hashed at a time: storage needs the threads that do it, too. */
	passwordsHashedMax: 2,
	/** Logins that wait for their turn, of one address or for a password to be hashed: a service whose clients all come back at once. */
	loginsWaitingMax: 256,
	/** How long a login waits for its turns, in milliseconds: with the delay of a refusal less than saslMsMax. */
	loginWaitMsMax: 10_000,
	/** How long before credentials run out the client is told, in milliseconds. */
	expiryNoticeMs: 60_000,
	/** Events of the audit log that wait for the disk: beyond they are dropped, and counted. */
	auditEventsMax: 1_000,
	/** Refusals that the audit log tells apart in ten seconds, without those of logins: some 30 KiB of its topic. */
	auditRefusalsMax: 100,
	/** Those of one user, or at one address where it is nobody who is known: what they name is their own text, and others' refusals are to be told, too. */
	auditRefusalsOfOneMax: 20,
	/** Failed logins that the audit log tells apart in ten seconds: whoever reaches the broker makes them. */
	auditLoginsMax: 50,
	/** Silence of a connection in milliseconds after which it is pinged. */
	idleMsMax: 20_000,
	/** Silence after that ping in milliseconds that ends the connection. */
	pingAnswerMsMax: 16_000,
	/** Bytes of the name that a client gives itself. */
	clientNameBytesMax: 255,
	/** Values of one request other than produce: building millions of them would hold the event loop. */
	requestValuesMax: 65_536,
	/** Array elements and tagged fields of one Kafka request together: building millions would hold the event loop. */
	kafkaRequestElementsMax: 262_144,
	/** Topics or other resources that one Kafka request may name: there cannot be more, and each is answered at length. */
	kafkaNamesMax: 32_768,
	/** Partitions that one Kafka request may create, as in Kafka. */
	kafkaCreatedPartitionsMax: 10_000,
	/** Partitions that one answer to DescribeTopicPartitions tells of, as in Kafka (max.request.partition.size.limit). */
	kafkaDescribedPartitionsMax: 2_000,
	/** Characters of a message in a Kafka answer: it may quote a name that leaves no room in a string for the rest. */
	kafkaMessageCharactersMax: 1_000,
	/** Consumer groups of a broker: bounds what it remembers for clients that invent group ids. */
	groupsMax: 100_000,
	/** Groups that may have a configuration of their own: all of them are read at the start, and names may be long. */
	groupConfigsMax: 10_000,
	/** Access rules: each change is checked against all of them. */
	aclsMax: 20_000,
	/** Users and clients that quotas are set for: all are read at the start. */
	quotasMax: 10_000,
	/** A user's or client's name in bytes that a quota may be set for. */
	quotaNameBytesMax: 1_024,
	/** Rates of an event loop that are counted: clients make up their names. */
	quotaRatesMax: 16_384,
	/** The longest wait that a quota brings about in milliseconds: whoever is a thousand times over it is not to wait for days. */
	throttleMsMax: 3_600_000,
	/** Throttled connections in one answer. */
	throttledListedMax: 1_000,
	/** Answers of access checks that one connection remembers. */
	accessAnswersMax: 1_024,
	/** Members of one group, whatever group.max.size says: each rebalance tells its leader of all. */
	groupMembersMax: 10_000,
	/** Member ids of one group that were handed out and have not joined yet. */
	groupJoinsPendingMax: 1_000,
	/** Bytes of a group's, client's, instance's or protocol's name: ids of members are made of them, and records keep all. */
	groupNameBytesMax: 8_192,
	/** Protocols that one member may offer. */
	groupProtocolsMax: 64,
	/** Metadata and assignments of one group in bytes: they are stored in one record, which a batch must hold. */
	groupBytesMax: 7_340_032,
	/** Memory of all groups, members and committed offsets in bytes, as it is estimated. */
	groupsBytesMax: 536_870_912,
	/** Bytes of one append to the offsets topic; more is split, as Kafka's own batches are bounded. */
	groupAppendBytesMax: 1_048_576,
	/** Bytes on their way into the offsets topic; beyond, the disk does not keep up and commits are refused. */
	groupAppendsPendingBytesMax: 67_108_864,
	/** Regular expressions of consumer groups whose matches are kept; others are matched anew when they are needed. */
	groupPatternsMax: 1_000,
	/** Memberships of one WebSocket connection: each keeps what it has, and all of them leave when the connection ends. */
	groupMembersOfConnectionMax: 256,
	/** Topics that a member may name over WebSocket; more are a pattern's matter. */
	groupTopicsNamedMax: 1_024,
	/** Characters of a regular expression that comes over WebSocket: it is compiled on the event loop. */
	groupPatternCharactersMax: 1_024,
	/** Partitions that one groups.commit, groups.acknowledge or notice may name: a few milliseconds of the event loop. */
	groupPartitionsNamedMax: 4_096,
	/** Commits of one WebSocket connection's members that wait for those before them, in bytes as they are held. */
	groupCommitsInFlightBytesMax: 16_777_216,
	/** Partitions that one groups.committed may ask for: with the longest metadata each, the answer is a frame. */
	groupOffsetsAskedMax: 250,
	/** Times of records that are kept for telling how far groups are behind: some 100 bytes each. */
	lagTimesMax: 65_536,
	/** Topics that metrics are told of by name; those that come behind are told of together. */
	metricTopicsMax: 1_000,
	/** Pairs of group and topic that metrics are told of; the rest is only counted. */
	metricGroupTopicsMax: 2_000,
	/** Topics that may come and go before a regular expression is matched against all of them again. */
	groupTopicChangesMax: 1_000,
	/** Partitions of one topic. */
	topicPartitionsMax: 10_000,
	/** Topics of a broker: each costs a few KiB of the catalogue, and they are listed, sorted and stored as a whole. */
	topicsMax: 20_000,
	/** Partitions of a broker: at 64 KiB of page cache for each that is written now and then, 3 GiB; five times what it is measured with. */
	partitionsMax: 50_000,
	/** The most that max.connections may be set to: idle ones take 20 KiB each, 2 GiB of a machine of 24 GiB. */
	connectionsMax: 100_000,
	/** max.connections unless set: far more than a broker's own services have, few enough that all may be busy. */
	connectionsDefault: 10_000,
	/** Connections of HTTP beyond max.connections: health checks, scrapes and whoever looks what is the matter. */
	httpConnectionsSpareMax: 100,
	/** Bytes of one Kafka request: Kafka's own bound (socket.request.max.bytes). */
	kafkaFrameBytesMax: 104_857_600,
	/** Bytes of one Kafka fetch answer, as in Kafka (fetch.max.bytes). */
	kafkaFetchBytesMax: 57_671_680,
	/** Bytes of the produce requests of one Kafka connection that are at work side by side. */
	kafkaInFlightBytesMax: 16_777_216,
	/** Bytes of requests that all Kafka connections of an event loop may hold together. */
	kafkaHeldBytesMax: 536_870_912,
	/** Fetch sessions of an event loop, as in Kafka (max.incremental.fetch.session.cache.slots). */
	fetchSessionsMax: 1_000,
	/** Partitions that all fetch sessions of an event loop remember together. */
	fetchSessionPartitionsMax: 1_000_000,
	/** Milliseconds after which an unused fetch session makes room for another, as in Kafka. */
	fetchSessionUnusedMsMax: 120_000,
	/** Records that the answer to one produce request names as those for which batches were refused. */
	refusedRecordsMax: 1_000,
	/** Bytes of a regular expression that names topics. */
	patternBytesMax: 8_192,
	/** Groups within groups of a regular expression: its compiler calls itself for each. */
	patternNestingMax: 250,
	/** Bytes that a regular expression compiles to: some eight times the longest list of names. */
	patternCompiledBytesMax: 524_288,
	/** Ranges of characters that the sets of a regular expression are made of: \pL is one of 677. */
	patternRangesMax: 65_536,
	/** Steps that matching one regular expression with all names may take: they hold the event loop. */
	patternStepsMax: 1_000_000,
	/** Body of one HTTP request in bytes, unless its path takes less: administration and small batches of records. */
	httpBodyBytesMax: 1_048_576,
	/** Bodies of HTTP requests that an event loop reads at the same time, in bytes. */
	httpBodiesBytesMax: 67_108_864,
	/** From the head of an HTTP request to the end of its body in milliseconds. */
	httpBodyMsMax: 10_000,
	/** Requests of the HTTP API that an event loop works on or whose answers are on their way. */
	httpRequestsMax: 1_024,
	/** Logins over HTTP that are under way, some KiB each: those of more addresses, with all that may wait of one, than max.connections has room for unless set. */
	httpLoginsMax: 16_384,
	/** Requests of one HTTP connection that wait for the one before them. */
	httpPipelinedMax: 64,
	/** Answers over HTTP that clients have not taken yet, in bytes. */
	httpAnswersBytesMax: 67_108_864,
	/** From one byte of an HTTP answer that a client takes to the next, in milliseconds. */
	httpUnreadMsMax: 10_000,
	/** Records in one answer or body of the HTTP API: looking at each takes the event loop about a microsecond. */
	httpRecordsMax: 10_000,
	/** Bytes of records in one answer of the HTTP API, unless a single one is larger. */
	httpRecordsBytesMax: 1_048_576,
	/** How long a read over HTTP waits for records, in milliseconds: what lies in between often gives up after a minute. */
	httpWaitMsMax: 30_000,
	/** Characters of a topic name, as in Kafka. */
	topicNameCharactersMax: 249,
} as const;
