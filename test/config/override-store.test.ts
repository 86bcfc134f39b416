/** What is set of the broker while it runs has to go together as a whole. */
import { expect, test } from "vitest";

import { LiveConfig } from "../../src/config/live.ts";
import { resolveConfig } from "../../src/config/load.ts";
import { OverrideStore } from "../../src/config/override-store.ts";
import type { OverrideLevel } from "../../src/config/overrides.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";

const LEAST = "group.min.session.timeout.ms";
const MOST = "group.max.session.timeout.ms";

/** A store over `file` in a broker that is started with these flags. */
async function opened(file = new MemoryMetadataFile(), flags: Record<string, string> = {}) {
	const live = new LiveConfig(resolveConfig({ flags }));
	const warned: object[] = [];
	const metadata = await MetadataWriter.open(new EmbeddedMetadataStore(file));
	const log = { warn: (details: object) => warned.push(details) };
	const store = await OverrideStore.open(metadata, live, log);
	const alter = (level: OverrideLevel, changes: Record<string, string | null>) =>
		store.alter(level, () => Object.entries(changes));
	return { file, live, store, alter, warned };
}

const timeouts = ({ config }: LiveConfig) => [
	config.groupMinSessionTimeoutMs,
	config.groupMaxSessionTimeoutMs,
];

test("values that do not go together are refused, whatever is set at which level", async () => {
	const { file, live, store, alter } = await opened();
	const refusal = expect.objectContaining({
		code: "INVALID_REQUEST",
		message: expect.stringContaining(`${LEAST} is above ${MOST}`),
	});
	const tooShort = { [LEAST]: "20000", [MOST]: "10000" };
	await expect(alter("broker", tooShort)).rejects.toEqual(refusal);
	expect(() => store.check("cluster", () => Object.entries(tooShort))).toThrow(refusal);
	expect(file.entries.size).toBe(0);
	expect(timeouts(live)).toEqual([6_000, 1_800_000]);
	await alter("cluster", { [MOST]: "40000" });
	await expect(alter("broker", { [LEAST]: "40001" })).rejects.toEqual(refusal);
	// One that wins makes room, and is missed where it is taken back.
	await alter("broker", { [MOST]: "50000" });
	await alter("broker", { [LEAST]: "40001" });
	await expect(alter("broker", { [MOST]: null })).rejects.toEqual(refusal);
	await alter("broker", { [MOST]: null, [LEAST]: null });
	expect(timeouts(live)).toEqual([6_000, 40_000]);
});

test("of two changes that do not go together the second is refused", async () => {
	const { live, alter } = await opened();
	const shorter = resolveConfig({ flags: { [flag(MOST)]: "9000" } });
	const reload = () => live.reload(async () => shorter);
	const [first, second, third] = await Promise.allSettled([
		alter("broker", { [LEAST]: "10000" }),
		alter("cluster", { [MOST]: "9999" }),
		reload(),
	]);
	expect([first, second, third].map(({ status }) => status)).toEqual([
		...["fulfilled", "rejected", "rejected"],
	]);
	expect(timeouts(live)).toEqual([10_000, 1_800_000]);
});

test("what does not go together at a start is left out and told, and the rest kept", async () => {
	const { file, alter } = await opened();
	await alter("broker", { [LEAST]: "10000", "max.connections": "5" });
	await alter("cluster", { [LEAST]: "8000", [MOST]: "20000" });
	const again = await opened(file, { [flag(LEAST)]: "15000", [flag(MOST)]: "16000" });
	expect(again.warned).toEqual([]);
	expect(timeouts(again.live)).toEqual([10_000, 20_000]);
	await again.alter("cluster", { [MOST]: null });
	const shorter = await opened(file, { [flag(LEAST)]: "1000", [flag(MOST)]: "9000" });
	expect(shorter.warned).toEqual([{ err: expect.any(Error), name: LEAST }]);
	expect(timeouts(shorter.live)).toEqual([8_000, 9_000]);
	expect(shorter.live.config.maxConnections).toBe(5);
});

function flag(name: string): string {
	return name.replaceAll(".", "-");
}
