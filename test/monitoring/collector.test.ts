import { expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { Collector, type MetricSources } from "../../src/monitoring/collector.ts";
import { TopicTraffic } from "../../src/monitoring/topic-traffic.ts";
import type { TopicHandle } from "../../src/storage/storage.ts";
import type { TopicChange } from "../../src/topics/catalogue.ts";

const topic = (name: string, handle: number, partitions = 1) => ({
	...{ name, partitions, topicId: `id of ${name}` },
	handle: handle as TopicHandle,
});
type FakeTopic = ReturnType<typeof topic>;

/** A collector over a broker that has these topics and did nothing else. */
function collecting(
	topics: Map<string, FakeTopic>,
	onLook: (handle: number, from: number) => void = () => undefined,
) {
	const listeners: ((change: TopicChange) => void)[] = [];
	const catalogue = {
		list: () => [...topics.values()],
		byId: (id: string) => [...topics.values()].find(({ topicId }) => topicId === id),
		onChange: (listener: (change: TopicChange) => void) => {
			listeners.push(listener);
			return () => undefined;
		},
	};
	const topicFigures = (handle: number, from: number) => {
		onLook(handle, from);
		return new Float64Array(8);
	};
	const protocol = () => ({
		...{
			connectionCount: 0,
			httpConnectionCount: 0,
			bufferedBytes: 0,
			heldBytes: 0,
			figures: {},
			slow: {},
		},
		requests: { operations: new Map() },
		httpRequests: { routes: [] },
		traffic: new TopicTraffic(catalogue),
	});
	const sources = {
		storage: {
			...{ coldReads: 0, recoveryReport: [], statistics: () => ({}), spaceWatermarks: () => ({}) },
			...{ syncFigures: () => new Float64Array(64), topicFigures },
		},
		catalogue,
		groups: { figures: async () => ({ byState: [], members: [], lags: [], leftOut: 0 }) },
		connections: { max: 1, refusedTotal: 0 },
		...{ websocket: protocol(), kafka: protocol(), quotas: { figures: () => [] } },
		security: { tls: null, failures: { counts: new Map() } },
		live: { failedReloadCount: 0 },
	};
	const drop = (name: string) => {
		const deleted = { kind: "deleted", topic: topics.get(name) } as unknown as TopicChange;
		topics.delete(name);
		for (const listener of listeners) listener(deleted);
	};
	return { ...sources, drop, make: () => new Collector(sources as unknown as MetricSources) };
}

test("others have their turns while one large topic is looked at", async () => {
	let [turn, before] = [0, -1];
	const topics = new Map([["large", topic("large", 1, 3_500)]]);
	const collector = collecting(topics, () => {
		expect(turn).toBeGreaterThan(before);
		before = turn;
	}).make();
	const count = () => {
		turn++;
		next = setImmediate(count);
	};
	let next = setImmediate(count);
	await collector.collect();
	clearImmediate(next);
	expect(turn).toBeGreaterThanOrEqual(3);
});

test("traffic of topics that no scrape has told of is counted with the others", async () => {
	const topics = new Map([["told", topic("told", 1)]]);
	const { kafka, drop, make } = collecting(topics);
	const collector = make();
	const sent = async () => {
		const snapshot = await collector.collect();
		const samples = snapshot.samples("millrace_sent_records_total");
		return Object.fromEntries(samples.map(({ labels, value }) => [labels.topic, value]));
	};
	kafka.traffic.sent(1 as TopicHandle, 5, 50);
	expect(await sent()).toEqual({ told: 5 });
	topics.set("passing", topic("passing", 2));
	kafka.traffic.sent(2 as TopicHandle, 7, 70);
	drop("passing");
	expect(await sent()).toEqual({ told: 5, "(other)": 7 });
	drop("told");
	expect(await sent()).toEqual({ "(other)": 7 });
});

test("a topic that is deleted while others are looked at counts once", async () => {
	const names = Array.from({ length: LIMITS.metricTopicsMax }, (_, index) => `named ${index}`);
	const topics = new Map(names.map((name, index) => [name, topic(name, index)]));
	const [unnamed, last] = [topic("unnamed", names.length), topic("last", names.length + 1, 2_500)];
	for (const each of [unnamed, last]) topics.set(each.name, each);
	const { websocket, drop, make } = collecting(topics, (handle, from) => {
		if (handle === last.handle && from > 0 && topics.has("unnamed")) drop("unnamed");
	});
	const collector = make();
	websocket.traffic.received(unnamed.handle, 7, 70);
	for (let scrape = 0; scrape < 2; scrape++) {
		const snapshot = await collector.collect();
		const samples = snapshot.samples("millrace_received_records_total");
		expect(samples.map(({ labels, value }) => [labels.topic, value])).toEqual([["(other)", 7]]);
	}
	expect(topics.has("unnamed")).toBe(false);
});
