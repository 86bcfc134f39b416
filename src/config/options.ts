/**
 * Every option of the broker, once. An option is a flag (`--num-partitions 3`), an environment
 * variable (`MILLRACE_NUM_PARTITIONS=3`) and a line of the configuration file
 * (`num.partitions: 3`); flag wins over environment wins over file wins over default. Options that
 * Kafka has carry Kafka's names.
 */
import { ASSIGNOR_NAMES } from "../groups/consumer/assignors.ts";
import { type GroupOptions, MIGRATION_POLICIES } from "../groups/options.ts";
import { LIMITS } from "../limits.ts";
import { type AreaLevels, LOG_AREAS, LOG_LEVELS, type LogLevel } from "../log-levels.ts";
import {
	CLIENT_AUTHS,
	SASL_MECHANISMS,
	SASL_MECHANISMS_DEFAULT,
	type SaslMechanismName,
	SECURITY_PROTOCOLS,
	type SecurityProtocol,
	type TlsOptions,
	type TokenOptions,
} from "../security/options.ts";
import type { UpkeepOptions } from "../storage/storage-types.ts";
import { DEFAULT_OPTIONS, type DefaultOption, defaultDoc } from "../topics/topic-defaults.ts";
import type { Address } from "./address.ts";
import {
	address,
	assignments,
	boolean,
	choice,
	choices,
	cookieName,
	integer,
	keySetUrl,
	nonEmpty,
	optionalAddress,
	optionalText,
	optionalTexts,
	origins,
	principals,
	type Schema,
	topicDefault,
} from "./values.ts";

/** `auto` takes uWebSockets.js where it has a binary for this Node, else ws. */
export const TRANSPORTS = ["auto", "uws", "ws"] as const;

/** What the broker is started with. */
export interface BrokerConfig extends GroupOptions, UpkeepOptions, TlsOptions, TokenOptions {
	readonly dataDir: string;
	readonly websocket: Address;
	readonly kafka: Address;
	readonly allowAnonymousRemote: boolean;
	readonly advertise: Address | null;
	readonly kafkaSecurityProtocol: SecurityProtocol;
	readonly websocketSecurityProtocol: SecurityProtocol;
	readonly saslEnabledMechanisms: readonly SaslMechanismName[];
	readonly connectionsMaxReauthMs: number;
	readonly maxConnections: number;
	readonly connectionsMaxIdleMs: number;
	readonly quotaWindowNum: number;
	readonly quotaWindowSizeSeconds: number;
	readonly numPartitions: number;
	readonly autoCreateTopicsEnable: boolean;
	readonly logFlushJournalEnable: boolean;
	readonly auditLogEnable: boolean;
	readonly authorizationEnable: boolean;
	/** Separated by semicolons. */
	readonly superUsers: string;
	readonly allowEveryoneIfNoAclFound: boolean;
	readonly metricsAuthenticationEnable: boolean;
	readonly allowedOrigins: readonly string[];
	readonly websocketTokenCookie: string;
	readonly websocketTransport: (typeof TRANSPORTS)[number];
	readonly logLevel: LogLevel;
	readonly logLevels: AreaLevels;
	/** Defaults of topics that were given, in canonical form by the names of their options. */
	readonly topicDefaults: ReadonlyMap<string, string>;
}

/** What has an option of its own in the table below. */
export type OptionKey = Exclude<keyof BrokerConfig, "topicDefaults">;

/** One option of the broker. */
export interface Option<Value> {
	/** In the file; flag and environment variable follow from it. */
	readonly name: string;
	/** What the value looks like, for the help text. */
	readonly placeholder: string;
	/** As it would be written. */
	readonly default: string;
	readonly doc: string;
	/** What values it takes, from wherever they come. */
	readonly schema: Schema<Value>;
	/** Whether it changes while the broker runs; otherwise a change needs a restart. */
	readonly dynamic?: boolean;
}

type Options = { readonly [Key in OptionKey]: Option<BrokerConfig[Key]> };

/** Kafka's INT ends here. */
const INT_MAX = 2_147_483_647;

/** By the name that the code uses; the defaults of topics are in a table of their own. */
export const OPTIONS: Options = {
	dataDir: {
		name: "data.dir",
		placeholder: "DIR",
		default: "./data",
		doc: "Where everything is stored.",
		schema: nonEmpty,
	},
	websocket: {
		name: "websocket",
		placeholder: "HOST:PORT",
		default: "127.0.0.1:4600",
		doc: "Where WebSocket and HTTP are served; port 0 picks a free one.",
		schema: address,
	},
	kafka: {
		name: "kafka",
		placeholder: "HOST:PORT",
		default: "127.0.0.1:9092",
		doc: "Where the Kafka protocol is served; port 0, also that of websocket, picks a free one.",
		schema: address,
	},
	allowAnonymousRemote: {
		name: "allow.anonymous.remote",
		placeholder: "true|false",
		default: "false",
		doc:
			"Whether a listener without authentication may bind to a non-loopback address; if false, " +
			"the broker refuses to start with one.",
		schema: boolean,
	},
	advertise: {
		name: "advertise",
		placeholder: "HOST:PORT",
		default: "",
		doc: "What Kafka clients are told to connect to; without it, the address that they dialled.",
		schema: optionalAddress,
	},
	kafkaSecurityProtocol: {
		name: "kafka.security.protocol",
		placeholder: SECURITY_PROTOCOLS.join("|"),
		default: "PLAINTEXT",
		doc:
			"The security protocol of the Kafka listener: PLAINTEXT, SSL (TLS), SASL_PLAINTEXT or " +
			"SASL_SSL (clients must authenticate).",
		schema: choice(SECURITY_PROTOCOLS, { anyCase: true }),
	},
	websocketSecurityProtocol: {
		name: "websocket.security.protocol",
		placeholder: SECURITY_PROTOCOLS.join("|"),
		default: "PLAINTEXT",
		doc:
			"The security protocol of the WebSocket and HTTP listener: PLAINTEXT, SSL (TLS), " +
			"SASL_PLAINTEXT or SASL_SSL (clients must authenticate).",
		schema: choice(SECURITY_PROTOCOLS, { anyCase: true }),
	},
	saslEnabledMechanisms: {
		name: "sasl.enabled.mechanisms",
		placeholder: "NAME,...",
		default: SASL_MECHANISMS_DEFAULT.join(","),
		doc:
			"SASL mechanisms that Kafka clients may authenticate by; WebSocket and HTTP clients may " +
			"always use passwords.",
		schema: choices(SASL_MECHANISMS),
	},
	connectionsMaxReauthMs: {
		name: "connections.max.reauth.ms",
		placeholder: "MS",
		default: "0",
		doc: "How long a client is believed until it says again who it is; 0: for ever.",
		schema: integer(0, Number.MAX_SAFE_INTEGER),
	},
	saslOauthbearerJwksEndpointUrl: {
		name: "sasl.oauthbearer.jwks.endpoint.url",
		placeholder: "URL",
		default: "",
		doc: "The keys that tokens are signed with: https:, file:, or http: of this machine.",
		schema: keySetUrl,
	},
	saslOauthbearerJwksEndpointRefreshMs: {
		name: "sasl.oauthbearer.jwks.endpoint.refresh.ms",
		placeholder: "MS",
		default: "3600000",
		doc: "How often those keys are read; also when a token names one that is not there.",
		schema: integer(1_000, INT_MAX),
	},
	saslOauthbearerExpectedAudience: {
		name: "sasl.oauthbearer.expected.audience",
		placeholder: "NAME,...",
		default: "",
		doc: "Whom tokens have to be for: one of these; without, only tokens that name no audience.",
		schema: optionalTexts,
	},
	saslOauthbearerExpectedIssuer: {
		name: "sasl.oauthbearer.expected.issuer",
		placeholder: "ISSUER",
		default: "",
		doc: "Who has to have issued tokens; without, whoever has one of the keys.",
		schema: optionalText,
	},
	saslOauthbearerExpectedScope: {
		name: "sasl.oauthbearer.expected.scope",
		placeholder: "SCOPE,...",
		default: "",
		doc: "What tokens have to allow: all of these.",
		schema: optionalTexts,
	},
	saslOauthbearerClockSkewSeconds: {
		name: "sasl.oauthbearer.clock.skew.seconds",
		placeholder: "SECONDS",
		default: "30",
		doc: "How far the clock of who issues tokens may differ from ours.",
		schema: integer(0, 3_600),
	},
	saslOauthbearerSubClaimName: {
		name: "sasl.oauthbearer.sub.claim.name",
		placeholder: "CLAIM",
		default: "sub",
		doc: "The claim of a token that names the user.",
		schema: nonEmpty,
	},
	saslOauthbearerScopeClaimName: {
		name: "sasl.oauthbearer.scope.claim.name",
		placeholder: "CLAIM",
		default: "scope",
		doc: "The claim of a token that says what it allows.",
		schema: nonEmpty,
	},
	sslKeystoreLocation: {
		name: "ssl.keystore.location",
		placeholder: "FILE",
		default: "",
		doc:
			"A PEM file: the private key, its certificate, and those between it and its CA. A listener " +
			"with TLS needs it.",
		schema: optionalText,
	},
	sslKeyPasswordFile: {
		name: "ssl.key.password.file",
		placeholder: "FILE",
		default: "",
		doc: "A file that holds what the private key is encrypted with.",
		schema: optionalText,
	},
	sslTruststoreLocation: {
		name: "ssl.truststore.location",
		placeholder: "FILE",
		default: "",
		doc: "A PEM file: the CAs that clients' certificates have to come from.",
		schema: optionalText,
	},
	sslClientAuth: {
		name: "ssl.client.auth",
		placeholder: CLIENT_AUTHS.join("|"),
		default: "none",
		doc:
			"Whether clients show certificates, which then name them. A listener with TLS that asks " +
			"for them needs ssl.truststore.location.",
		schema: choice(CLIENT_AUTHS, { anyCase: true }),
	},
	maxConnections: {
		name: "max.connections",
		placeholder: "N",
		default: `${LIMITS.connectionsDefault}`,
		doc:
			"Connections of all protocols together, from their first moment; further ones are refused " +
			`until some have ended. HTTP has ${LIMITS.httpConnectionsSpareMax} more: scrapes and such.`,
		schema: integer(1, LIMITS.connectionsMax),
		dynamic: true,
	},
	connectionsMaxIdleMs: {
		name: "connections.max.idle.ms",
		placeholder: "MS",
		default: "600000",
		doc:
			"Silence after which a Kafka client's connection is closed, in milliseconds. A client " +
			"that waits for an answer is not silent.",
		schema: integer(1, INT_MAX),
		dynamic: true,
	},
	quotaWindowNum: {
		name: "quota.window.num",
		placeholder: "N",
		default: "11",
		doc: "Samples of the past that rates are taken over which quotas limit.",
		schema: integer(1, 3_600),
	},
	quotaWindowSizeSeconds: {
		name: "quota.window.size.seconds",
		placeholder: "SECONDS",
		default: "1",
		doc: "How long one of those samples is.",
		schema: integer(1, 3_600),
	},
	numPartitions: {
		name: "num.partitions",
		placeholder: "N",
		default: "1",
		doc: "Partitions of a topic for which nobody asks a number.",
		schema: integer(1, LIMITS.topicPartitionsMax),
	},
	autoCreateTopicsEnable: {
		name: "auto.create.topics.enable",
		placeholder: "true|false",
		default: "true",
		doc: "Whether the first use of a topic creates it.",
		schema: boolean,
	},
	groupInitialRebalanceDelayMs: {
		name: "group.initial.rebalance.delay.ms",
		placeholder: "MS",
		default: "3000",
		doc: "How long the first join of an empty group waits for further members.",
		schema: integer(0, INT_MAX),
		dynamic: true,
	},
	groupMinSessionTimeoutMs: {
		name: "group.min.session.timeout.ms",
		placeholder: "MS",
		default: "6000",
		doc: "The shortest session timeout that a group member may ask for, not above the longest.",
		schema: integer(0, INT_MAX),
		dynamic: true,
	},
	groupMaxSessionTimeoutMs: {
		name: "group.max.session.timeout.ms",
		placeholder: "MS",
		default: "1800000",
		doc: "The longest session timeout that a group member may ask for.",
		schema: integer(0, INT_MAX),
		dynamic: true,
	},
	groupMaxSize: {
		name: "group.max.size",
		placeholder: "N",
		default: `${INT_MAX}`,
		doc: `Members that one group may have, and never more than ${LIMITS.groupMembersMax}.`,
		schema: integer(1, INT_MAX),
	},
	groupConsumerSessionTimeoutMs: {
		name: "group.consumer.session.timeout.ms",
		placeholder: "MS",
		default: "45000",
		doc: "Silence after which a member of a consumer group (KIP-848) is out.",
		schema: integer(1, INT_MAX),
	},
	groupConsumerMinSessionTimeoutMs: {
		name: "group.consumer.min.session.timeout.ms",
		placeholder: "MS",
		default: "45000",
		doc: "The least that group.consumer.session.timeout.ms may be.",
		schema: integer(1, INT_MAX),
	},
	groupConsumerMaxSessionTimeoutMs: {
		name: "group.consumer.max.session.timeout.ms",
		placeholder: "MS",
		default: "60000",
		doc: "The most that group.consumer.session.timeout.ms may be.",
		schema: integer(1, INT_MAX),
	},
	groupConsumerHeartbeatIntervalMs: {
		name: "group.consumer.heartbeat.interval.ms",
		placeholder: "MS",
		default: "5000",
		doc: "How often members of consumer groups (KIP-848) are told to send heartbeats.",
		schema: integer(1, INT_MAX),
	},
	groupConsumerMinHeartbeatIntervalMs: {
		name: "group.consumer.min.heartbeat.interval.ms",
		placeholder: "MS",
		default: "5000",
		doc: "The least that group.consumer.heartbeat.interval.ms may be.",
		schema: integer(1, INT_MAX),
	},
	groupConsumerMaxHeartbeatIntervalMs: {
		name: "group.consumer.max.heartbeat.interval.ms",
		placeholder: "MS",
		default: "15000",
		doc: "The most that group.consumer.heartbeat.interval.ms may be.",
		schema: integer(1, INT_MAX),
	},
	groupConsumerMaxSize: {
		name: "group.consumer.max.size",
		placeholder: "N",
		default: `${INT_MAX}`,
		doc: `Members of one consumer group (KIP-848), and never more than ${LIMITS.groupMembersMax}.`,
		schema: integer(1, INT_MAX),
	},
	groupConsumerAssignors: {
		name: "group.consumer.assignors",
		placeholder: "NAME,...",
		default: ASSIGNOR_NAMES.join(","),
		doc: "Assignors that members of consumer groups may ask for; the first is the default.",
		schema: choices(ASSIGNOR_NAMES),
	},
	groupConsumerMigrationPolicy: {
		name: "group.consumer.migration.policy",
		placeholder: "POLICY",
		default: "bidirectional",
		doc: `How groups with members may change their protocol: ${MIGRATION_POLICIES.join(", ")}.`,
		schema: choice(MIGRATION_POLICIES, { anyCase: true }),
	},
	offsetMetadataMaxBytes: {
		name: "offset.metadata.max.bytes",
		placeholder: "BYTES",
		default: "4096",
		doc: "Metadata that may be committed with an offset.",
		schema: integer(0, 32_767),
		dynamic: true,
	},
	offsetsRetentionMinutes: {
		name: "offsets.retention.minutes",
		placeholder: "MINUTES",
		default: "10080",
		doc: "How long offsets of a group without members are kept.",
		schema: integer(1, INT_MAX),
		dynamic: true,
	},
	offsetsRetentionCheckIntervalMs: {
		name: "offsets.retention.check.interval.ms",
		placeholder: "MS",
		default: "600000",
		doc: "How often offsets and groups are looked through for what has expired.",
		schema: integer(1, INT_MAX),
	},
	offsetsTopicNumPartitions: {
		name: "offsets.topic.num.partitions",
		placeholder: "N",
		default: "50",
		doc: "Partitions of the topic that keeps groups and offsets, when it is first used.",
		schema: integer(1, LIMITS.topicPartitionsMax),
	},
	logRetentionCheckIntervalMs: {
		name: "log.retention.check.interval.ms",
		placeholder: "MS",
		default: "300000",
		doc: "How often segments are looked through for what their topic no longer keeps.",
		schema: integer(1, Number.MAX_SAFE_INTEGER),
	},
	logCleanerEnable: {
		name: "log.cleaner.enable",
		placeholder: "true|false",
		default: "true",
		doc: "Whether topics with cleanup.policy=compact are compacted.",
		schema: boolean,
	},
	logCleanerBackoffMs: {
		name: "log.cleaner.backoff.ms",
		placeholder: "MS",
		default: "15000",
		doc: "Pause between two looks for a log to compact, when there was none.",
		schema: integer(0, Number.MAX_SAFE_INTEGER),
	},
	logCleanerDedupeBufferSize: {
		name: "log.cleaner.dedupe.buffer.size",
		placeholder: "BYTES",
		default: "67108864",
		doc: "Memory for the keys of a compaction; a log with more keys takes several passes.",
		schema: integer(1_048_576, Number.MAX_SAFE_INTEGER),
	},
	logCleanerIoMaxBytesPerSecond: {
		name: "log.cleaner.io.max.bytes.per.second",
		placeholder: "BYTES",
		default: "67108864",
		doc: "Bytes that compaction reads and writes a second at most.",
		schema: integer(1, Number.MAX_SAFE_INTEGER),
	},
	logFlushJournalEnable: {
		name: "log.flush.journal.enable",
		placeholder: "true|false",
		default: "true",
		doc: "Whether a journal flushes many partitions with one sync, where many wait for one.",
		schema: boolean,
	},
	scrubMaxBytesPerSecond: {
		name: "scrub.max.bytes.per.second",
		placeholder: "BYTES",
		default: "10485760",
		doc: "Bytes of closed segments that are read a second to find damage; 0: none.",
		schema: integer(0, Number.MAX_SAFE_INTEGER),
	},
	auditLogEnable: {
		name: "audit.log.enable",
		placeholder: "true|false",
		default: "false",
		doc: "Whether the topic __audit keeps who changed what, and who was refused.",
		schema: boolean,
	},
	authorizationEnable: {
		name: "authorization.enable",
		placeholder: "true|false",
		default: "false",
		doc: "Whether ACLs are enforced; if not, every client may do everything.",
		schema: boolean,
	},
	superUsers: {
		name: "super.users",
		placeholder: "PRINCIPAL;...",
		default: "",
		doc: "Principals that may do everything, whatever ACLs say.",
		schema: principals,
	},
	allowEveryoneIfNoAclFound: {
		name: "allow.everyone.if.no.acl.found",
		placeholder: "true|false",
		default: "false",
		doc: "Whether every client may do everything with a resource that has no ACLs.",
		schema: boolean,
	},
	metricsAuthenticationEnable: {
		name: "metrics.authentication.enable",
		placeholder: "true|false",
		default: "false",
		doc: "Whether /metrics asks who one is, and serves who may Describe the cluster.",
		schema: boolean,
	},
	allowedOrigins: {
		name: "allowed.origins",
		placeholder: "ORIGIN,...",
		default: "",
		doc: "Web origins whose pages may connect, beside loopback and our own; * allows all.",
		schema: origins,
	},
	websocketTokenCookie: {
		name: "websocket.token.cookie",
		placeholder: "NAME",
		default: "",
		doc: "The cookie in which browsers send a token, for pages of allowed.origins.",
		schema: cookieName,
	},
	websocketTransport: {
		name: "websocket.transport",
		placeholder: TRANSPORTS.join("|"),
		default: "auto",
		doc: "The WebSocket library; auto takes uWebSockets.js where it has a binary for this Node.",
		schema: choice(TRANSPORTS),
	},
	logLevel: {
		name: "log.level",
		placeholder: LOG_LEVELS.join("|"),
		default: "info",
		doc: "The least important kind of line that is logged.",
		schema: choice(LOG_LEVELS),
		dynamic: true,
	},
	logLevels: {
		name: "log.levels",
		placeholder: "AREA=LEVEL,...",
		default: "",
		doc: `Other levels for some areas of the log, which are ${LOG_AREAS.join(", ")}.`,
		schema: assignments(LOG_AREAS, LOG_LEVELS),
		dynamic: true,
	},
};

/** The defaults of topics, generated from the table of their configuration. */
export const TOPIC_DEFAULT_OPTIONS: readonly Option<string>[] = [...DEFAULT_OPTIONS.values()]
	.filter(({ isFixed }) => !isFixed)
	.map((option) => ({
		name: option.name,
		placeholder: placeholderOf(option),
		default: option.default ?? "",
		doc: defaultDoc(option),
		schema: topicDefault(option),
		dynamic: true,
	}));

/** Every option there is. */
export const ALL_OPTIONS: readonly Option<unknown>[] = [
	...Object.values(OPTIONS),
	...TOPIC_DEFAULT_OPTIONS,
];

/** `num.partitions` -> `num-partitions`, to stand behind `--`. */
export const flagName = (option: { readonly name: string }) => option.name.replaceAll(".", "-");

/** `num.partitions` -> `MILLRACE_NUM_PARTITIONS`. */
export const environmentName = (option: { readonly name: string }) =>
	`MILLRACE_${option.name.toUpperCase().replaceAll(".", "_")}`;

function placeholderOf({ name, value }: DefaultOption): string {
	switch (value.kind) {
		case "boolean":
			return "true|false";
		case "choice":
			return value.choices.join("|");
		case "choices":
			return `${value.choices.join("|")},...`;
		case "double":
			return "RATIO";
		case "integer":
			return /\.(ms|minutes|hours|bytes|level)$/.exec(name)?.[1]?.toUpperCase() ?? "N";
	}
}
