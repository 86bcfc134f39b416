/**
 * Every setting of a broker that runs: what it is, where that comes from, and how it changes. Told
 * over Kafka's protocol as far as Kafka has it, and over the others whole.
 */
import { MillraceError } from "../errors.ts";
import { DEFAULT_OPTIONS, type DefaultValue, defaultDoc } from "../topics/topic-defaults.ts";
import type { LiveConfig } from "./live.ts";
import { unknownOption } from "./option-names.ts";
import { OPTIONS, type Option, type OptionKey } from "./options.ts";
import { OVERRIDE_LEVELS } from "./overrides.ts";

/** What a value is, by Kafka's names. */
export type SettingType = "BOOLEAN" | "STRING" | "INT" | "LONG" | "DOUBLE" | "LIST";

/** Types of the options that Kafka has too. */
const KAFKA_TYPES = {
	saslEnabledMechanisms: "LIST",
	connectionsMaxReauthMs: "LONG",
	saslOauthbearerJwksEndpointUrl: "STRING",
	saslOauthbearerJwksEndpointRefreshMs: "LONG",
	saslOauthbearerExpectedAudience: "LIST",
	saslOauthbearerExpectedIssuer: "STRING",
	saslOauthbearerClockSkewSeconds: "INT",
	saslOauthbearerSubClaimName: "STRING",
	saslOauthbearerScopeClaimName: "STRING",
	sslKeystoreLocation: "STRING",
	sslTruststoreLocation: "STRING",
	sslClientAuth: "STRING",
	maxConnections: "INT",
	connectionsMaxIdleMs: "LONG",
	quotaWindowNum: "INT",
	quotaWindowSizeSeconds: "INT",
	numPartitions: "INT",
	autoCreateTopicsEnable: "BOOLEAN",
	groupInitialRebalanceDelayMs: "INT",
	groupMinSessionTimeoutMs: "INT",
	groupMaxSessionTimeoutMs: "INT",
	groupMaxSize: "INT",
	groupConsumerSessionTimeoutMs: "INT",
	groupConsumerMinSessionTimeoutMs: "INT",
	groupConsumerMaxSessionTimeoutMs: "INT",
	groupConsumerHeartbeatIntervalMs: "INT",
	groupConsumerMinHeartbeatIntervalMs: "INT",
	groupConsumerMaxHeartbeatIntervalMs: "INT",
	groupConsumerMaxSize: "INT",
	groupConsumerAssignors: "LIST",
	groupConsumerMigrationPolicy: "STRING",
	offsetMetadataMaxBytes: "INT",
	offsetsRetentionMinutes: "INT",
	offsetsRetentionCheckIntervalMs: "LONG",
	offsetsTopicNumPartitions: "INT",
	logRetentionCheckIntervalMs: "LONG",
	logCleanerEnable: "BOOLEAN",
	logCleanerBackoffMs: "LONG",
	logCleanerDedupeBufferSize: "LONG",
	logCleanerIoMaxBytesPerSecond: "DOUBLE",
	superUsers: "STRING",
	allowEveryoneIfNoAclFound: "BOOLEAN",
} as const satisfies Partial<Record<OptionKey, SettingType>>;

/** Types of Millrace's own options. */
const OWN_TYPES = {
	dataDir: "STRING",
	websocket: "STRING",
	kafka: "STRING",
	allowAnonymousRemote: "BOOLEAN",
	advertise: "STRING",
	kafkaSecurityProtocol: "STRING",
	websocketSecurityProtocol: "STRING",
	saslOauthbearerExpectedScope: "STRING",
	sslKeyPasswordFile: "STRING",
	logFlushJournalEnable: "BOOLEAN",
	scrubMaxBytesPerSecond: "LONG",
	auditLogEnable: "BOOLEAN",
	authorizationEnable: "BOOLEAN",
	metricsAuthenticationEnable: "BOOLEAN",
	allowedOrigins: "LIST",
	websocketTokenCookie: "STRING",
	websocketTransport: "STRING",
	logLevel: "STRING",
	logLevels: "LIST",
} as const satisfies Partial<Record<OptionKey, SettingType>>;

const TYPES: Readonly<Record<OptionKey, SettingType>> = { ...KAFKA_TYPES, ...OWN_TYPES };
const KEYS = Object.keys(TYPES) as readonly OptionKey[];

/** One setting. None of them is a secret: those lie in files. */
export interface Setting {
	readonly name: string;
	/** Null: nothing is set, and another setting counts. */
	readonly value: string | null;
	readonly type: SettingType;
	readonly source: DefaultValue["source"];
	/** Whether Kafka has a setting of this name. */
	readonly isKafkas: boolean;
	/** Whether it can be set while the broker runs, over any protocol. */
	readonly isAlterable: boolean;
	/** Whether it stays as it is until the next start, whatever the file says meanwhile. */
	readonly needsRestart: boolean;
	readonly doc: string;
	/** Every value that there is for it, the one in force first. */
	readonly values: readonly DefaultValue[];
}

/** A setting that can be set while the broker runs. */
export interface AlterableSetting {
	readonly type: SettingType;
	readonly doc: string;
}

/** All settings: the options, and the defaults of topics. */
export function settingsOf(live: LiveConfig): Setting[] {
	return [...KEYS.map((key) => optionSetting(live, key)), ...topicDefaults(live)];
}

/** What can be set while the broker runs; undefined for every other name. */
export function alterable(name: string): AlterableSetting | undefined {
	const topicDefault = DEFAULT_OPTIONS.get(name);
	if (topicDefault !== undefined) {
		const { type, isFixed } = topicDefault;
		return isFixed ? undefined : { type, doc: defaultDoc(topicDefault) };
	}
	const key = keyOf(name);
	if (key === undefined || !isAlterable(key)) return undefined;
	return { type: TYPES[key], doc: OPTIONS[key].doc };
}

/** Throws INVALID_REQUEST, saying why, unless the setting can be set while the broker runs. */
export function checkAlterable(name: string): void {
	if (alterable(name) !== undefined) return;
	throw new MillraceError("INVALID_REQUEST", whyUnalterable(name));
}

function whyUnalterable(name: string): string {
	if (DEFAULT_OPTIONS.has(name)) return `${name} can only be as it is`;
	const key = keyOf(name);
	if (key === undefined) {
		// A client may have made it up, as long as its request.
		const shown = name.slice(0, NAME_SHOWN_CHARACTERS);
		return unknownOption(shown) ?? `there is no option ${shown}...`;
	}
	return OPTIONS[key].dynamic === true
		? `${name} changes by the configuration file alone`
		: `${name} cannot be changed while the broker runs: it needs a restart`;
}

const NAME_SHOWN_CHARACTERS = 100;

const keyOf = (name: string) => KEYS.find((key) => OPTIONS[key].name === name);

/** Levels of the log have a way of their own while the broker runs. */
const isAlterable = (key: OptionKey) => OPTIONS[key].dynamic === true && isKafkas(key);

const isKafkas = (key: OptionKey): boolean => Object.hasOwn(KAFKA_TYPES, key);

function optionSetting(live: LiveConfig, key: OptionKey): Setting {
	const { name, default: builtIn, doc, dynamic }: Option<unknown> = OPTIONS[key];
	const loaded = live.loadedText(key);
	const values: DefaultValue[] = [{ name, value: builtIn, source: "built-in" }];
	if (loaded !== builtIn) values.unshift({ name, value: loaded, source: "start" });
	if (isAlterable(key)) values.unshift(...overridesOf(live, name));
	return {
		name,
		...inForce(values),
		type: TYPES[key],
		isKafkas: isKafkas(key),
		isAlterable: isAlterable(key),
		needsRestart: dynamic !== true,
		doc,
		values,
	};
}

/** What was set of an option while the broker ran, the one in force first. */
function overridesOf({ overrides }: LiveConfig, name: string): DefaultValue[] {
	return OVERRIDE_LEVELS.flatMap((source) => {
		const value = overrides[source].get(name);
		return value === undefined ? [] : [{ name, value, source }];
	});
}

/** What topics have that do not set it themselves. */
function topicDefaults(live: LiveConfig): Setting[] {
	return [...DEFAULT_OPTIONS.values()].map((option) => {
		const values = live.topicDefaults.valuesOf(option);
		return {
			name: option.name,
			...inForce(values),
			type: option.type,
			isKafkas: true,
			isAlterable: !option.isFixed,
			needsRestart: false,
			doc: defaultDoc(option),
			values,
		};
	});
}

/** As in Kafka it is a default where nothing says otherwise. */
function inForce([first]: readonly DefaultValue[]): Pick<Setting, "value" | "source"> {
	return { value: first?.value ?? null, source: first?.source ?? "built-in" };
}
