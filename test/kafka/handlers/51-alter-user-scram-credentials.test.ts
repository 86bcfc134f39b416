import { expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { Exchange } from "../../../src/kafka/exchange.ts";
import { SERVED_APIS } from "../../../src/kafka/handlers/table.ts";
import { KafkaReader } from "../../../src/kafka/wire/reader.ts";
import { KafkaWriter } from "../../../src/kafka/wire/writer.ts";
import { EmbeddedMetadataStore } from "../../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../../src/metadata/metadata-writer.ts";
import { CODES } from "../../../src/protocol/codes.ts";
import { Users } from "../../../src/security/users.ts";
import { MemoryMetadataFile } from "../../metadata/memory-metadata-file.ts";
import { decodeMessage, encodeMessage } from "../client-codec.ts";

test("of two deletions of one credential at once the second finds nothing", async () => {
	const store = new EmbeddedMetadataStore(new MemoryMetadataFile());
	const users = Users.open(await MetadataWriter.open(store));
	await users.setPassword("alice", "open sesame");
	const deletions = [{ name: "alice", mechanism: 1 }];
	const request = encodeMessage("AlterUserScramCredentialsRequest", 0, { deletions });
	const answers = [1, 2].map(async () => {
		const writer = new KafkaWriter();
		const host = { writer, clock: systemClock, users };
		const exchange = { host, apiVersion: 0, allows: () => true } as unknown as Exchange;
		const write = await SERVED_APIS.get(51)?.serve(new KafkaReader(request), exchange);
		writer.start();
		write?.(writer);
		const answer = Buffer.from(writer.finish());
		return decodeMessage("AlterUserScramCredentialsResponse", 0, answer).results;
	});
	expect(await Promise.all(answers)).toMatchObject([
		[{ user: "alice", errorCode: CODES.NONE.code }],
		[{ user: "alice", errorCode: CODES.RESOURCE_NOT_FOUND.code }],
	]);
	expect([...(users.describe("alice")?.keys() ?? [])]).toEqual(["SCRAM-SHA-512"]);
});

test("others have their turns while many users are altered", async () => {
	const store = new EmbeddedMetadataStore(new MemoryMetadataFile());
	const writer = new KafkaWriter();
	let nowMs = 0;
	const clock = { ...systemClock, monotonicMs: () => nowMs++ };
	const host = { writer, clock, users: Users.open(await MetadataWriter.open(store)) };
	const exchange = { host, apiVersion: 0, allows: () => true } as unknown as Exchange;
	const deletions = Array.from({ length: 1_000 }, (_, index) => ({
		name: `user ${index}`,
		mechanism: 1,
	}));
	const request = encodeMessage("AlterUserScramCredentialsRequest", 0, { deletions });

	let turns = 0;
	const turn = () => {
		turns++;
		next = setImmediate(turn);
	};
	let next = setImmediate(turn);
	const write = await SERVED_APIS.get(51)?.serve(new KafkaReader(request), exchange);
	clearImmediate(next);

	expect(turns).toBeGreaterThan(deletions.length / 4);
	writer.start();
	write?.(writer);
	const answer = Buffer.from(writer.finish());
	const { results } = decodeMessage("AlterUserScramCredentialsResponse", 0, answer);
	expect(results).toHaveLength(deletions.length);
	const errorCode = CODES.RESOURCE_NOT_FOUND.code;
	expect((results as object[]).at(-1)).toMatchObject({ user: deletions.at(-1)?.name, errorCode });
});
