import { expect, test } from "vitest";

import { resolveConfig } from "../../src/config/load.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { Security } from "../../src/security/security.ts";
import { FakeClock } from "../groups/fake-clock.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";

test("logins that wait are dropped when the broker stops", async () => {
	const opened = await MetadataWriter.open(new EmbeddedMetadataStore(new MemoryMetadataFile()));
	const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
	const security = await Security.open(resolveConfig({}).config, opened, new FakeClock(), log);
	await security.users.setPassword("alice", "a");
	const passwords = Array.from({ length: 5 }, () => security.users.checkPassword("alice", "a"));
	const never = () => new Promise<void>(() => undefined);
	const looks = Array.from({ length: 5 }, () =>
		security.failures.inTurn("192.0.2.1", "PLAIN", never),
	);
	const settled = [Promise.allSettled(passwords), Promise.allSettled(looks.slice(4))] as const;
	security.close();
	const codes = async (all: Promise<PromiseSettledResult<unknown>[]>) =>
		(await all).map((one) => (one.status === "rejected" ? one.reason.code : one.status));
	const [done, dropped] = ["fulfilled", "SHUTTING_DOWN"];
	expect(await codes(settled[0])).toEqual([done, done, dropped, dropped, dropped]);
	expect(await codes(settled[1])).toEqual([dropped]);
});
