import { expect, test } from "vitest";

import { ConfigError } from "../../src/config/errors.ts";
import { LiveConfig } from "../../src/config/live.ts";
import { resolveConfig } from "../../src/config/load.ts";

const load = (flags: Record<string, string> = {}) => resolveConfig({ flags });

test("dynamic options change in place, and who asked for it is told", async () => {
	const live = new LiveConfig(load());
	const { config } = live;
	const told: string[] = [];
	live.onChange("maxConnections", () => void told.push(`connections ${config.logLevel}`));
	live.onChange("logLevel", () => void told.push(`level ${config.maxConnections}`));
	live.onChange("topicDefaults", () => void told.push("defaults"));
	const changed = { "max-connections": "5", "log-level": "debug" };
	expect(await live.reload(async () => load(changed))).toEqual({
		changed: ["max.connections", "log.level"],
		needRestart: [],
	});
	expect(config).toMatchObject({ maxConnections: 5, logLevel: "debug" });
	// Both are in force before anybody hears of one.
	expect(told).toEqual(["connections debug", "level 5"]);
	expect(await live.reload(async () => load(changed))).toEqual({ changed: [], needRestart: [] });
	expect(told).toHaveLength(2);
});

test("what is not dynamic stays as it is and is named until the next start", async () => {
	const live = new LiveConfig(load());
	const flags = { "num-partitions": "7", "allowed-origins": "https://a.example" };
	for (let round = 0; round < 2; round++) {
		expect(await live.reload(async () => load(flags))).toEqual({
			changed: [],
			needRestart: ["num.partitions", "allowed.origins"],
		});
	}
	expect(live.config).toMatchObject({ numPartitions: 1, allowedOrigins: [] });
});

test("defaults of topics come and go, and a reload waits for who follows them", async () => {
	const live = new LiveConfig(load({ "log-retention-hours": "5" }));
	const seen: [string, string][][] = [];
	live.onChange("topicDefaults", async () => {
		await new Promise((resolve) => setImmediate(resolve));
		seen.push([...live.config.topicDefaults]);
	});
	const { changed } = await live.reload(async () => load({ "log-retention-ms": "1000" }));
	expect([...changed].sort()).toEqual(["log.retention.hours", "log.retention.ms"]);
	expect(seen).toEqual([[["log.retention.ms", "1000"]]]);
});

test("what does not go together with what was set is not taken over at all", async () => {
	const live = new LiveConfig(load());
	const cluster = new Map([["group.min.session.timeout.ms", "60000"]]);
	await live.override({ broker: new Map(), cluster });
	const shorter = { "group-max-session-timeout-ms": "59999", "max-connections": "5" };
	await expect(live.reload(async () => load(shorter))).rejects.toThrow(ConfigError);
	expect(live.failedReloadCount).toBe(1);
	expect(live.config).toMatchObject({
		groupMinSessionTimeoutMs: 60_000,
		groupMaxSessionTimeoutMs: 1_800_000,
		maxConnections: 10_000,
	});
	const asLong = { ...shorter, "group-max-session-timeout-ms": "60000" };
	const { changed } = await live.reload(async () => load(asLong));
	expect([...changed].sort()).toEqual(["group.max.session.timeout.ms", "max.connections"]);
});
