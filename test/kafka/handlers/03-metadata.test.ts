/** How clients learn of topics, and make them by asking. */
import { describe, expect, test } from "vitest";
import { pick } from "../pick.ts";
import { newTopic, useBroker } from "../use-broker.ts";

describe("a topic that is not there", () => {
	const used = useBroker();
	const ask = async (name: string, allowAutoTopicCreation: boolean, version = 9) => {
		const request = { topics: [{ name }], allowAutoTopicCreation };
		return pick(await used.ask("Metadata", version, request), "topics", 0);
	};

	test("is created by asking for it, and found by asking again", async () => {
		expect(await ask("made", true)).toMatchObject({ errorCode: 3, partitions: [] });
		expect(await ask("made", false)).toMatchObject({ errorCode: 0, partitions: [{ leaderId: 1 }] });
	});

	test("is created by versions that cannot say whether to", async () => {
		for (const version of [0, 3]) {
			expect(await ask(`made-${version}`, false, version)).toMatchObject({ errorCode: 3 });
			expect(await ask(`made-${version}`, false, version)).toMatchObject({ errorCode: 0 });
		}
	});

	test("is not created for who does not want it, nor under a name that none may have", async () => {
		expect(await ask("unmade", false)).toMatchObject({ errorCode: 3 });
		expect(await ask("unmade", false)).toMatchObject({ errorCode: 3 });
		for (const allows of [true, false]) {
			expect(await ask("not a name", allows)).toMatchObject({ errorCode: 17, partitions: [] });
		}
	});

	test("is told as gone to who looks right behind its deletion", async () => {
		await used.ask("CreateTopics", 7, { topics: [newTopic("gone")], timeoutMs: 60_000 });
		await used.ask("DeleteTopics", 5, { topicNames: ["gone"], timeoutMs: 60_000 });
		expect(await ask("gone", true, 1)).toMatchObject({ errorCode: 3, partitions: [] });
	});
});

describe("where topics are not created automatically", () => {
	const used = useBroker({ options: { "auto.create.topics.enable": "false" } });

	test("asking for one creates none", async () => {
		const request = { topics: [{ name: "unmade" }], allowAutoTopicCreation: true };
		for (let count = 0; count < 2; count++) {
			const answer = await used.ask("Metadata", 9, request);
			expect(pick(answer, "topics", 0)).toMatchObject({ errorCode: 3, partitions: [] });
		}
	});
});
