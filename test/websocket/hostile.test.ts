import { describe, expect, test } from "vitest";
import { serve, TRANSPORTS } from "./harness.ts";
import type { Frame } from "./raw-client.ts";

describe.each(TRANSPORTS)("a client that means harm, over %s", (transport) => {
	const at = serve(transport);

	test.each(["producer", "gzip"])(
		"a frame that spreads beyond what an answer holds costs its entries only (%s)",
		async (compression) => {
			const client = await at.client();
			const name = `spread-${compression}`;
			const configs = { "compression.type": compression, "flush.messages": "1000000" };
			await client.call("topics.create", { name, partitions: 128, configs });
			// Each may reach every partition. The first is large enough to be compressed by another thread.
			const records = Array.from({ length: 160 }, (_, key) => ["", `${key}`]);
			const first = [...records, ["x".repeat(20_000), "key"]];
			const entries = Array.from({ length: 513 }, (_, index) => {
				return [name, -1, -1, 0, index === 0 ? first : records];
			});
			client.send(3, 5, 1, entries);
			const [operation, , , results] = (await client.reply(5)) as [number, number, number, Frame[]];
			expect(operation).toBe(129);
			expect(results.slice(0, 512).every(([code]) => code === 0)).toBe(true);
			expect(results[512]).toEqual([1002, -1, -1, -1]);
			await client.ping();
			expect(at.errors).toEqual([]);
		},
	);
});
