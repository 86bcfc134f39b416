/**
 * The package: a broker inside your own process, with the real protocol. The client is
 * `millrace/client`.
 */
import { type Broker, startBrokerAs, startBroker as startConfigured } from "./broker.ts";
import { LiveConfig } from "./config/live.ts";
import { loadConfig } from "./config/load.ts";
import { checkOptionNames } from "./config/option-names.ts";
import { flagName } from "./config/options.ts";
import { Logs } from "./log.ts";
import { AdvanceableClock } from "./testing/advanceable-clock.ts";
import { MemoryBroker } from "./testing/memory-broker.ts";

export type { BrokerAddresses } from "./addresses.ts";
export type { Broker } from "./broker.ts";
export { MillraceError } from "./errors.ts";
export type {
	BrokerClock,
	BrokerFaults,
	DroppedClient,
	MemoryBroker,
} from "./testing/memory-broker.ts";

/** Every option is optional; those not named here are at their defaults. */
export interface StartBrokerOptions {
	/** Where everything is stored. Default `./data`. */
	readonly dataDir?: string;
	/**
	 * Keep everything in memory and leave nothing behind; for tests. Then `websocket` is at a free
	 * port by default, and the broker has a clock that can be advanced and faults that can be made.
	 */
	readonly memory?: boolean;
	/** `HOST:PORT`; port 0 picks a free one. Default `127.0.0.1:4600`, in memory `127.0.0.1:0`. */
	readonly websocket?: string;
	/**
	 * Where the Kafka protocol is served, `HOST:PORT`. Default `127.0.0.1:9092`, and a free port
	 * where that of `websocket` is one.
	 */
	readonly kafka?: string;
	/** Partitions of a topic for which nobody asks a number. Default 1. */
	readonly numPartitions?: number;
	/** Whether the first use of a topic creates it. Default true. */
	readonly autoCreateTopicsEnable?: boolean;
	/** Connections of all protocols together; further ones are refused. Default 10,000. */
	readonly maxConnections?: number;
	/** Web origins whose pages may connect. */
	readonly allowedOrigins?: readonly string[];
	/** The WebSocket implementation. Default `auto`. */
	readonly websocketTransport?: "auto" | "uws" | "ws";
	/**
	 * Any other option of the broker by its name, as a configuration file has it:
	 * `{ "offsets.retention.minutes": "60" }`. In memory `group.initial.rebalance.delay.ms` is 0 by
	 * default: tests should not wait for members that do not come.
	 */
	readonly options?: Readonly<Record<string, string>>;
	/** What is logged to stderr. Default `silent`. */
	readonly logLevel?: "silent" | "fatal" | "error" | "warn" | "info" | "debug" | "trace";
}

/**
 * Starts a broker in this process; resolves when it can be connected to at `broker.addresses`. The
 * environment is not looked at. Rejects with a ConfigError for an option that makes no sense and
 * with a MillraceError such as DATA_DIRECTORY_IN_USE for a data directory that cannot be served.
 */
export function startBroker(
	options: StartBrokerOptions & { readonly memory: true },
): Promise<MemoryBroker>;
export function startBroker(options?: StartBrokerOptions): Promise<Broker>;
export async function startBroker(options: StartBrokerOptions = {}): Promise<Broker> {
	const memory = options.memory === true;
	checkOptionNames(Object.keys(options.options ?? {}));
	const others = Object.entries(options.options ?? {}).map(
		([name, value]) => [flagName({ name }), value] as const,
	);
	const named = {
		"data-dir": options.dataDir,
		websocket: options.websocket ?? (memory ? "127.0.0.1:0" : undefined),
		kafka: options.kafka,
		"max-connections": options.maxConnections?.toString(),
		"num-partitions": options.numPartitions?.toString(),
		"auto-create-topics-enable": options.autoCreateTopicsEnable?.toString(),
		"allowed-origins": options.allowedOrigins?.join(","),
		"websocket-transport": options.websocketTransport,
		"log-level": options.logLevel,
	};
	const flags = {
		"group-initial-rebalance-delay-ms": memory ? "0" : undefined,
		"log-level": "silent",
		...Object.fromEntries(others),
		...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)),
	};
	const live = new LiveConfig(await loadConfig({ flags }));
	const logs = new Logs(live);
	if (!memory) return startConfigured(live, { memory, logs });
	const clock = new AdvanceableClock();
	return startBrokerAs(
		live,
		{ memory, logs, clock },
		(parts, addresses) => new MemoryBroker(parts, addresses, clock),
	);
}
