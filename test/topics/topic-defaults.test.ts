/** Options of the broker that say what topics have that do not set it themselves. */
import { describe, expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import {
	checkOverrides,
	checkSetting,
	checkTogether,
	describeConfiguration,
	topicLogConfig,
} from "../../src/topics/configuration.ts";
import { CONFIGURATION } from "../../src/topics/configuration-table.ts";
import {
	BUILT_IN_DEFAULTS,
	DEFAULT_OPTIONS,
	TopicDefaults,
} from "../../src/topics/topic-defaults.ts";
import { temporaryDirectory } from "../broker-process.ts";

const defaultsOf = (given: Record<string, string>) =>
	new TopicDefaults(new Map(Object.entries(given)));

describe("defaults of topics", () => {
	test("without options are those of the configuration table, in every unit", () => {
		for (const [setting, entry] of CONFIGURATION) {
			if (entry.class === "refused") continue;
			expect([setting, BUILT_IN_DEFAULTS.valueOf(setting)]).toEqual([setting, entry.default]);
			expect(BUILT_IN_DEFAULTS.isGiven(setting)).toBe(false);
		}
		for (const { name, setting, default: value } of DEFAULT_OPTIONS.values()) {
			if (value === null) continue;
			expect([name, defaultsOf({ [name]: value }).valueOf(setting)]).toEqual([
				name,
				BUILT_IN_DEFAULTS.valueOf(setting),
			]);
		}
	});

	test("of several options for one setting the finest unit counts", () => {
		const given = { "log.retention.hours": "2", "log.retention.minutes": "3" };
		expect(defaultsOf(given).valueOf("retention.ms")).toBe("180000");
		expect(defaultsOf({ ...given, "log.retention.ms": "4" }).valueOf("retention.ms")).toBe("4");
		expect(defaultsOf({ "log.retention.hours": "-1" }).valueOf("retention.ms")).toBe("-1");
		expect(defaultsOf({ "log.roll.hours": "3" }).valueOf("segment.ms")).toBe("10800000");
	});

	test("are what topics can set, whatever the unit", () => {
		for (const { name, setting, value } of DEFAULT_OPTIONS.values()) {
			if (value.kind !== "integer") continue;
			for (const bound of [value.minimum, value.maximum]) {
				const inForce = defaultsOf({ [name]: `${bound}` }).valueOf(setting) as string;
				expect([name, checkSetting(setting, inForce)]).toEqual([name, inForce]);
			}
		}
	});

	test("are told from what the topic sets, and from what is built in", () => {
		const defaults = defaultsOf({ "log.segment.bytes": "2000000", "log.roll.ms": "5" });
		const overrides = checkOverrides([["segment.ms", "6"]]);
		const described = describeConfiguration(overrides, defaults);
		const byName = new Map(described.map((entry) => [entry.name, entry]));
		expect(byName.get("segment.bytes")).toMatchObject({ value: "2000000", source: "broker" });
		expect(byName.get("segment.ms")).toMatchObject({ value: "6", source: "topic" });
		expect(byName.get("retention.ms")).toMatchObject({ source: "default" });
		const config = topicLogConfig(overrides, defaults);
		expect(config).toMatchObject({ segmentBytes: 2_000_000, segmentMs: 6 });
	});

	test("and what a topic sets have to go together", () => {
		const most = defaultsOf({ "log.cleaner.max.compaction.lag.ms": "5" });
		const least = (value: string) => checkOverrides([["min.compaction.lag.ms", value]]);
		expect(() => checkTogether(least("5"), most)).not.toThrow();
		expect(() => checkTogether(least("6"), most)).toThrow(
			/min\.compaction\.lag\.ms \(6\) is more than max\.compaction\.lag\.ms \(5\)/,
		);
	});

	test("are no settings of topics themselves", () => {
		expect(() => checkSetting("log.retention.hours", "1")).toThrow(
			/log\.retention\.hours is an option of the broker; a topic has retention\.ms$/,
		);
	});

	test("that no option names are an error of the program", () => {
		expect(() => defaultsOf({ "log.nonsense": "1" })).toThrow(/no default of topics/);
	});
});

test("a changed default counts from the next start on, for topics that were there", async () => {
	const dataDir = temporaryDirectory();
	const websocket = "127.0.0.1:0";
	const first = await startBroker({ dataDir, websocket });
	const client = await connect(first.addresses.websocket);
	await client.topics.create("plain");
	await client.topics.create("own", { configs: { "max.message.bytes": "5000" } });
	await client.producer().send({ topic: "plain", value: "v".repeat(2_000) });
	await client.close();
	await first.close();

	const options = { "message.max.bytes": "1000", "log.flush.interval.messages": "1000" };
	const second = await startBroker({ dataDir, websocket, options });
	const again = await connect(second.addresses.websocket);
	const send = (topic: string, bytes: number) =>
		again.producer().send({ topic, value: "v".repeat(bytes) });
	await expect(send("plain", 2_000)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
	expect(await send("plain", 200)).toMatchObject({ offset: 1 });
	expect(await send("own", 2_000)).toMatchObject({ offset: 0 });
	expect(await again.topics.describe("plain")).toMatchObject({
		durability: "written",
		configs: expect.arrayContaining([
			expect.objectContaining({ name: "max.message.bytes", value: "1000", source: "broker" }),
		]),
	});
	await again.close();
	await second.close();
});
