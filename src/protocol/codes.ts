/**
 * Every error code that Millrace can answer with: Kafka's number where Kafka has the error, from
 * 1000 on for its own. This table is the only one; `native/core/src/generated.rs` and the table in
 * `docs/websocket-protocol.md` are made from it by `npm run generate`.
 */
export interface CodeEntry {
	readonly code: number;
	readonly retriable: boolean;
	/** What happened and what to do about it, for people. Details are appended behind a colon. */
	readonly message: string;
}

const entry = (code: number, retriable: boolean, message: string): CodeEntry => ({
	code,
	retriable,
	message,
});

// biome-ignore format: a table, one row an error
export const CODES = {
	UNKNOWN_SERVER_ERROR: entry(-1, false, "the broker met an unexpected error; its log has the details"),
	NONE: entry(0, false, "no error"),
	OFFSET_OUT_OF_RANGE: entry(1, false, "the offset lies outside the partition's log; ask for its start and end offsets"),
	CORRUPT_MESSAGE: entry(2, true, "the record batch fails its checksum or its lengths do not add up"),
	UNKNOWN_TOPIC_OR_PARTITION: entry(3, true, "no such topic or partition here; create it or check its name"),
	NOT_LEADER_OR_FOLLOWER: entry(6, true, "this broker does not lead the partition; look the leader up again"),
	REQUEST_TIMED_OUT: entry(7, true, "the request was not done in time; it may still take effect"),
	MESSAGE_TOO_LARGE: entry(10, false, "the record batch is larger than the topic's max.message.bytes"),
	INVALID_TOPIC_EXCEPTION: entry(17, false, "a topic name is 1 to 249 of the characters a-z A-Z 0-9 . _ - and neither . nor .."),
	NOT_ENOUGH_REPLICAS: entry(19, true, "the topic's min.insync.replicas asks for more replicas than one broker has"),
	TOPIC_AUTHORIZATION_FAILED: entry(29, false, "not allowed on this topic"),
	INVALID_TIMESTAMP: entry(32, false, "a record's timestamp lies outside what the topic accepts"),
	TOPIC_ALREADY_EXISTS: entry(36, false, "a topic of this name exists already"),
	INVALID_PARTITIONS: entry(37, false, "the number of partitions is out of bounds"),
	INVALID_CONFIG: entry(40, false, "a configuration name or value is not accepted"),
	INVALID_REQUEST: entry(42, false, "the request is well formed but makes no sense"),
	OUT_OF_ORDER_SEQUENCE_NUMBER: entry(45, false, "the producer skipped a sequence number: an earlier batch is missing"),
	INVALID_PRODUCER_EPOCH: entry(47, false, "a newer producer with the same id has taken over"),
	KAFKA_STORAGE_ERROR: entry(56, true, "the partition's storage failed and refuses work until the broker has verified it"),
	UNKNOWN_PRODUCER_ID: entry(59, false, "the broker has no state for this producer id"),
	UNSUPPORTED_COMPRESSION_TYPE: entry(76, false, "the compression codec is not one of gzip, snappy, lz4, zstd"),
	INVALID_RECORD: entry(87, false, "a record is not valid for this topic"),
	MALFORMED_FRAME: entry(1000, false, "the frame is not MessagePack of the expected shape"),
	UNSUPPORTED_OPERATION: entry(1001, false, "the operation is not known to this version of the broker"),
	LIMIT_EXCEEDED: entry(1002, false, "a limit announced at hello was exceeded"),
	NOT_AUTHENTICATED: entry(1003, false, "credentials are missing, wrong or expired"),
	DUPLICATE_ID: entry(1004, false, "a request with this id is still waiting for its answer"),
	UNKNOWN_ALIAS: entry(1005, false, "the topic alias was not opened on this connection"),
	UNKNOWN_SUBSCRIPTION: entry(1006, false, "no subscription of this number on this connection"),
	DISK_FULL: entry(1007, true, "the disk is full: free space or lower the retention; reads go on"),
	DAMAGED_RANGE: entry(1008, false, "the records asked for are damaged on disk and were set aside"),
	SHUTTING_DOWN: entry(1009, true, "the broker is shutting down; connect again"),
	TOPIC_DELETED: entry(1010, false, "the topic was deleted"),
	DATA_DIRECTORY_IN_USE: entry(1011, false, "another broker has this data directory open"),
	DATA_DIRECTORY_NEWER: entry(1012, false, "the data directory was written by a newer version of Millrace"),
	DATA_DAMAGED: entry(1013, false, "stored data is damaged; run `millrace verify`"),
	UNSUITABLE_FILE_SYSTEM: entry(1014, false, "the data directory is on a file system that cannot keep the log's promises"),
	INVALID_ARGUMENT: entry(1015, false, "an argument is out of range or of the wrong type"),
	CONNECTION_LOST: entry(1016, true, "the connection to the broker ended before the answer came"),
	DELIVERY_TIMEOUT: entry(1017, true, "the record was not acknowledged within deliveryTimeoutMs; it may still have been stored"),
	CLOSED: entry(1018, false, "the client, producer or consumer is closed"),
	UNREPRESENTABLE_VALUE: entry(1019, false, "the value does not survive being encoded and decoded again"),
	BUFFER_FULL: entry(1020, true, "the producer's buffer is full; await drained()"),
} as const satisfies Record<string, CodeEntry>;

export type CodeName = keyof typeof CODES;
