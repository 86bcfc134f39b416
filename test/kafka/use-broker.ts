import { afterAll, beforeAll, onTestFinished } from "vitest";
import {
	type Broker,
	type MemoryBroker,
	type StartBrokerOptions,
	startBroker,
} from "../../src/index.ts";
import type { Fields } from "./client-codec.ts";
import { RawKafkaClient } from "./raw-client.ts";

/** A broker in memory, for all tests of a file. */
export interface UsedBroker {
	readonly broker: MemoryBroker;
	readonly port: number;
	/** A connection that ends with the test. */
	connect(): Promise<RawKafkaClient>;
	/** One request over a connection of its own. */
	ask(name: string, version: number, fields?: Fields): Promise<Fields>;
}

/** The port at which a broker serves Kafka clients. */
export function kafkaPortOf({ addresses }: Broker): number {
	return Number(addresses.kafka?.split(":").at(-1));
}

/** Starts a broker before the tests of the file that calls this, and stops it behind them. */
export function useBroker(options: StartBrokerOptions = {}): UsedBroker {
	let broker: MemoryBroker;
	beforeAll(async () => {
		broker = await startBroker({ ...options, memory: true });
	});
	afterAll(() => broker.close());
	return {
		get broker() {
			return broker;
		},
		get port() {
			return kafkaPortOf(broker);
		},
		async connect() {
			const client = await RawKafkaClient.connect(this.port);
			onTestFinished(() => client.close());
			return client;
		},
		async ask(name, version, fields) {
			const client = await RawKafkaClient.connect(this.port);
			try {
				return await client.request(name, version, fields);
			} finally {
				await client.close();
			}
		},
	};
}

/** A topic for CreateTopics: one partition unless said otherwise. */
export const newTopic = (name: string, more: Fields = {}): Fields => ({
	name,
	numPartitions: 1,
	replicationFactor: 1,
	...more,
});

/** Settings for CreateTopics and AlterConfigs. */
export const settings = (entries: Record<string, string | null>): Fields[] =>
	Object.entries(entries).map(([name, value]) => ({ name, value }));
