/** Puts the configuration together of its sources: flags, environment, file, defaults. */
import { isTlsUsed, type SecurityProtocol, usesSasl, usesTls } from "../security/options.ts";
import { type Address, formatAddress, isLoopback } from "./address.ts";
import { ConfigError } from "./errors.ts";
import type { ConfigFile } from "./file.ts";
import {
	ALL_OPTIONS,
	type BrokerConfig,
	environmentName,
	flagName,
	OPTIONS,
	type Option,
	type OptionKey,
	TOPIC_DEFAULT_OPTIONS,
} from "./options.ts";
import { formatWritten, parseWritten, type Written } from "./values.ts";

/** Environment variables that are Millrace's without being options of the broker. */
const OTHER_ENVIRONMENT = new Set([
	...["MILLRACE_CONFIG", "MILLRACE_URL", "MILLRACE_USER"],
	...["MILLRACE_PASSWORD", "MILLRACE_PASSWORD_FILE", "MILLRACE_TOKEN", "MILLRACE_TOKEN_FILE"],
	...["MILLRACE_TLS_CA", "MILLRACE_TLS_CERT", "MILLRACE_TLS_KEY"],
]);

/** What a broker is given. */
export interface ConfigSources {
	/** By flag name, without `--`; `config` names the file. */
	readonly flags?: Readonly<Record<string, string | undefined>>;
	readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** Where a value in force comes from. */
export type ConfigSource = "flag" | "environment" | "file" | "default";

export interface LoadedConfig {
	readonly config: BrokerConfig;
	/** Where each option's value comes from, by the option's name. */
	readonly sources: ReadonlyMap<string, ConfigSource>;
	/**
	 * MILLRACE_ variables that no option has. They are worth a warning and no refusal: Kubernetes
	 * puts variables such as MILLRACE_SERVICE_HOST beside a service that is called millrace.
	 */
	readonly unknownEnvironment: readonly string[];
}

/** A value as it was given to the broker, and by what name. */
interface Given {
	readonly source: ConfigSource;
	readonly place: string;
	readonly written: Written;
}

/** The file that the sources name. */
export function configFileOf({ flags, environment }: ConfigSources): string | undefined {
	return flags?.config ?? environment?.MILLRACE_CONFIG;
}

/** Reads the file that the sources name, if any. Rejects with ConfigError. */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
	const file = configFileOf(sources);
	if (file === undefined) return resolveConfig(sources);
	// Many brokers have no file, and this loads a library.
	const { readConfigFile } = await import("./file.ts");
	return resolveConfig(sources, await readConfigFile(file));
}

/**
 * The configuration of flags, environment and what a file says. Throws ConfigError, which names
 * every problem.
 */
export function resolveConfig(
	sources: ConfigSources,
	file: ConfigFile = { entries: new Map(), problems: [] },
): LoadedConfig {
	const origins = new Map<string, ConfigSource>();
	const problems = [...file.problems];
	const read = <Value>(
		option: Option<Value>,
		given = givenFor(option, sources, file),
	): Value | undefined => {
		origins.set(option.name, given.source);
		try {
			return parseWritten(option.schema, given.written);
		} catch (error) {
			if (!(error instanceof ConfigError)) throw error;
			problems.push(`${given.place}: ${error.message}`);
			return undefined;
		}
	};
	const values: Partial<Record<OptionKey, unknown>> = {};
	for (const [key, option] of Object.entries(OPTIONS) as [OptionKey, Option<unknown>][]) {
		values[key] = read(option);
	}
	const topicDefaults = new Map<string, string>();
	for (const option of TOPIC_DEFAULT_OPTIONS) {
		// Without a default of its own where a weaker option has it.
		const given = givenFor(option, sources, file);
		if (given.source === "default") {
			origins.set(option.name, given.source);
			continue;
		}
		const value = read(option, given);
		if (value !== undefined) topicDefaults.set(option.name, value);
	}
	if (problems.length > 0) throw new ConfigError(problems);
	// The first loop has filled in every key of OPTIONS, whose type has exactly those of BrokerConfig
	// but for the defaults of topics.
	const config = { ...values, topicDefaults } as BrokerConfig;
	checkRelations(config);
	return {
		config: origins.get(OPTIONS.kafka.name) === "default" ? besideFreePort(config) : config,
		sources: origins,
		unknownEnvironment: unknownVariables(sources),
	};
}

/** An option with the value in force, as it would be written, and where that comes from. */
export interface DescribedOption {
	readonly option: Option<unknown>;
	readonly value: string;
	readonly source: ConfigSource;
}

/** Every option, in the order of the tables. */
export function describeConfig({ config, sources }: LoadedConfig): DescribedOption[] {
	const describe = (option: Option<unknown>, value: unknown): DescribedOption => ({
		option,
		value: formatWritten(value),
		source: sources.get(option.name) ?? "default",
	});
	const keys = Object.keys(OPTIONS) as OptionKey[];
	return [
		...keys.map((key) => describe(OPTIONS[key], config[key])),
		...TOPIC_DEFAULT_OPTIONS.map((option) =>
			describe(option, config.topicDefaults.get(option.name) ?? option.default),
		),
	];
}

/** What counts for an option. */
function givenFor(
	option: Option<unknown>,
	{ flags = {}, environment = {} }: ConfigSources,
	file: ConfigFile,
): Given {
	const flag = flags[flagName(option)];
	if (flag !== undefined) return { source: "flag", place: `--${flagName(option)}`, written: flag };
	const name = environmentName(option);
	const variable = environment[name];
	if (variable !== undefined) return { source: "environment", place: name, written: variable };
	const entry = file.entries.get(option.name);
	if (entry === undefined) {
		return { source: "default", place: option.name, written: option.default };
	}
	const { place, written } = entry;
	return { source: "file", place: `${place}: ${option.name}`, written };
}

function unknownVariables({ environment = {} }: ConfigSources): string[] {
	const known = new Set(ALL_OPTIONS.map(environmentName));
	return Object.keys(environment).filter(
		(name) => name.startsWith("MILLRACE_") && !known.has(name) && !OTHER_ENVIRONMENT.has(name),
	);
}

/** Throws ConfigError where options that are valid by themselves do not go together. */
export function checkRelations(config: BrokerConfig): void {
	checkExposure(config);
	checkCertificates(config);
	checkTokenCookie(config);
	const within = (
		key: keyof BrokerConfig & `group${string}`,
		least: keyof BrokerConfig & `group${string}`,
		most: keyof BrokerConfig & `group${string}`,
	) => {
		if (config[key] >= config[least] && config[key] <= config[most]) return;
		throw new ConfigError(
			`${OPTIONS[key].name} is not within ${OPTIONS[least].name} to ${OPTIONS[most].name}: ` +
				`${config[key]}, ${config[least]} to ${config[most]}`,
		);
	};
	within(
		"groupConsumerSessionTimeoutMs",
		"groupConsumerMinSessionTimeoutMs",
		"groupConsumerMaxSessionTimeoutMs",
	);
	within(
		"groupConsumerHeartbeatIntervalMs",
		"groupConsumerMinHeartbeatIntervalMs",
		"groupConsumerMaxHeartbeatIntervalMs",
	);
	const { groupMinSessionTimeoutMs: least, groupMaxSessionTimeoutMs: most } = config;
	if (least > most) {
		throw new ConfigError(
			`group.min.session.timeout.ms is above group.max.session.timeout.ms: ${least}, ${most}`,
		);
	}
	const { saslEnabledMechanisms, saslOauthbearerJwksEndpointUrl } = config;
	if (saslEnabledMechanisms.includes("OAUTHBEARER") && saslOauthbearerJwksEndpointUrl === "") {
		throw new ConfigError(
			"sasl.enabled.mechanisms has OAUTHBEARER, which needs sasl.oauthbearer.jwks.endpoint.url",
		);
	}
	if (config.groupConsumerHeartbeatIntervalMs >= config.groupConsumerSessionTimeoutMs) {
		throw new ConfigError(
			"group.consumer.heartbeat.interval.ms is not below group.consumer.session.timeout.ms",
		);
	}
}

/** Throws ConfigError where a cookie would let nobody in, or pages that nobody has named. */
function checkTokenCookie(config: BrokerConfig): void {
	const { websocketTokenCookie, allowedOrigins } = config;
	if (websocketTokenCookie === "") return;
	const needs: string[] = [];
	if (config.saslOauthbearerJwksEndpointUrl === "")
		needs.push("sasl.oauthbearer.jwks.endpoint.url");
	if (!usesSasl(config.websocketSecurityProtocol)) {
		needs.push("websocket.security.protocol=SASL_SSL (or SASL_PLAINTEXT)");
	}
	if (allowedOrigins.length === 0 || allowedOrigins.includes("*")) {
		needs.push("allowed.origins with the origins of its pages, each by its name");
	}
	if (needs.length > 0)
		throw new ConfigError(`websocket.token.cookie needs ${needs.join(", and ")}`);
}

/** Throws ConfigError where anybody who reaches the machine could read and delete everything. */
function checkExposure(config: BrokerConfig): void {
	const { websocketSecurityProtocol, websocketTransport } = config;
	if (websocketTransport === "uws" && usesTls(websocketSecurityProtocol)) {
		throw new ConfigError("websocket.transport=uws speaks no TLS; leave it at auto, or ws");
	}
	if (config.allowAnonymousRemote) return;
	const problems = openListeners(config).map(
		({ name, address }) =>
			`${name} ${formatAddress(address)}: others reach it, and nobody is asked who they are. ` +
			`Have ${name}.security.protocol ask (SASL_SSL, or SSL with ssl.client.auth=required), ` +
			"listen on 127.0.0.1, or set allow.anonymous.remote=true where you trust the network",
	);
	if (problems.length > 0) throw new ConfigError(problems);
}

/** Throws ConfigError where TLS has no certificate, or anybody could get one to log in with. */
function checkCertificates(config: BrokerConfig): void {
	if (!isTlsUsed(config)) return;
	const { sslKeystoreLocation, sslTruststoreLocation, sslClientAuth } = config;
	const problems: string[] = [];
	if (sslKeystoreLocation === "") {
		problems.push(
			"kafka.security.protocol or websocket.security.protocol has SSL, which needs " +
				"ssl.keystore.location: a PEM file with the private key and its certificate",
		);
	}
	if (sslClientAuth !== "none" && sslTruststoreLocation === "") {
		problems.push(
			`ssl.client.auth=${sslClientAuth} needs ssl.truststore.location: without it a certificate ` +
				"of any public CA would do. Name a PEM file with the CAs that your clients' certificates " +
				"come from, or set ssl.client.auth=none",
		);
	}
	if (problems.length > 0) throw new ConfigError(problems);
}

/** Listeners at addresses that others can reach where nobody has to say who they are. */
export function openListeners(config: BrokerConfig): readonly RemoteListener[] {
	const { sslClientAuth } = config;
	return remoteListeners(config).filter(({ protocol }) => {
		return !usesSasl(protocol) && !(usesTls(protocol) && sslClientAuth === "required");
	});
}

/** A listener at an address that others can reach. */
export interface RemoteListener {
	readonly name: "kafka" | "websocket";
	readonly address: Address;
	readonly protocol: SecurityProtocol;
}

export function remoteListeners(config: BrokerConfig): readonly RemoteListener[] {
	const { kafka, websocket, kafkaSecurityProtocol, websocketSecurityProtocol } = config;
	const listeners = [
		{ name: "websocket", address: websocket, protocol: websocketSecurityProtocol },
		{ name: "kafka", address: kafka, protocol: kafkaSecurityProtocol },
	] as const;
	return listeners.filter(({ address }) => !isLoopback(address));
}

/**
 * Who has a free port picked for WebSocket wants to stand beside other brokers: then the Kafka port
 * that nobody chose is a free one, too.
 */
function besideFreePort(config: BrokerConfig): BrokerConfig {
	if (config.websocket.port !== 0) return config;
	return { ...config, kafka: { ...config.kafka, port: 0 } };
}
