/** What answers about groups may take, whatever a small request asks for. */
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { Exchange } from "../../../src/kafka/exchange.ts";
import { SERVED_APIS } from "../../../src/kafka/handlers/table.ts";
import { KafkaReader } from "../../../src/kafka/wire/reader.ts";
import { KafkaWriter } from "../../../src/kafka/wire/writer.ts";
import { LIMITS } from "../../../src/limits.ts";
import { nextTurn } from "../../../src/next-turn.ts";
import { encodeMessage, type Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { newTopic, useBroker } from "../use-broker.ts";

/** Request fields of each API that name groups. */
const NAMING: Readonly<Record<string, (groupIds: readonly string[]) => Fields>> = {
	OffsetFetch: (groupIds) => ({ groups: groupIds.map((groupId) => ({ groupId, topics: null })) }),
	DescribeGroups: (groupIds) => ({ groups: groupIds }),
	ConsumerGroupDescribe: (groupIds) => ({ groupIds }),
};

describe("others have the loop while there is an answer about many groups", () => {
	const GROUPS = 100;

	/**
	 * How many groups were looked at in the first turn, and in all, by a clock on which every look
	 * takes a millisecond.
	 */
	async function lookedAt(name: string, version: number, fields: Fields) {
		let count = 0;
		const look = <Found>(found: Found) => {
			count++;
			return found;
		};
		const group = { groupId: "g", type: "classic", state: "Empty", protocolType: "" };
		const groups = {
			fetchOffsets: () => look([]),
			describeClassicGroup: () => look({ ...group, protocolName: "", members: [] }),
			describeConsumerGroup: () =>
				look({ ...group, epoch: 1, assignmentEpoch: 1, assignorName: "uniform", members: [] }),
			*listGroups() {
				for (let index = 0; index < GROUPS; index++) yield look(group);
			},
		};
		let nowMs = 0;
		const clock = { ...systemClock, monotonicMs: () => nowMs++ };
		const host = { writer: new KafkaWriter(), clock, groups };
		const allows = () => true;
		const exchange = { host, apiVersion: version, isOver: false, throttleTimeMs: 0, allows };
		const api = [...SERVED_APIS.values()].find(({ facts }) => facts.name === name)!;
		const request = encodeMessage(`${name}Request`, version, fields);
		const first = nextTurn().then(() => count);
		const answer = api.serve(new KafkaReader(request), exchange as unknown as Exchange);
		const inFirstTurn = await first;
		expect(await answer).not.toBeNull();
		return { inFirstTurn, inAll: count };
	}

	const groupIds = Array.from({ length: GROUPS }, (_, index) => `group ${index}`);
	test.each([
		["OffsetFetch", 10, NAMING.OffsetFetch!(groupIds)],
		["DescribeGroups", 6, NAMING.DescribeGroups!(groupIds)],
		["ConsumerGroupDescribe", 1, NAMING.ConsumerGroupDescribe!(groupIds)],
		["ListGroups", 5, {}],
		["ListGroups", 5, { statesFilter: ["Dead"] }],
	] as const)("%s v%i", async (name, version, fields) => {
		const { inFirstTurn, inAll } = await lookedAt(name, version, fields);
		expect(inAll).toBe(GROUPS);
		expect(inFirstTurn).toBeLessThan(GROUPS / 2);
	});
});

describe("an answer is as long as what there is, however often it is asked for", () => {
	const used = useBroker();

	beforeAll(async () => {
		const topics = [newTopic("orders", { numPartitions: 3 })];
		await used.ask("CreateTopics", 7, { topics, timeoutMs: 60_000 });
		const partitions = [0, 1].map((partitionIndex) => ({ partitionIndex, committedOffset: 5 }));
		await used.ask("OffsetCommit", 8, {
			groupId: "committed",
			generationIdOrMemberEpoch: -1,
			memberId: "",
			topics: [{ name: "orders", partitions }],
		});
	});

	test.each([
		["DescribeGroups", 0],
		["DescribeGroups", 6],
		["ConsumerGroupDescribe", 0],
		["ConsumerGroupDescribe", 1],
		["OffsetFetch", 8],
		["OffsetFetch", 10],
	] as const)("%s v%i: groups", async (name, version) => {
		const asked = NAMING[name]!(["committed", "nobody's", "committed", "committed"]);
		const answer = await used.ask(name, version, asked);
		expect(answer.groups).toMatchObject([{ groupId: "committed" }, { groupId: "nobody's" }]);
		const tooMany = NAMING[name]!(new Array<string>(LIMITS.groupsMax + 1).fill("committed"));
		await expect(used.ask(name, version, tooMany)).rejects.toThrow("the connection ended");
	});

	const offsets = { 0: 5, 1: 5, 2: -1 };
	const fetched = ({ partitions }: Fields) =>
		Object.fromEntries(
			(partitions as Fields[]).map((each) => [each.partitionIndex, each.committedOffset]),
		);
	/** Named in parts, some of them twice. */
	const parts = (name: Fields) => [
		{ ...name, partitionIndexes: [0, 0, 2] },
		{ ...name, partitionIndexes: [1, 0, 2, 2] },
	];

	test.each([1, 7])("OffsetFetch v%i: topics and partitions", async (version) => {
		for (const [groupId, offset] of [["committed", 5] as const, ["nobody's", -1] as const]) {
			const topics = parts({ name: "orders" });
			const answer = await used.ask("OffsetFetch", version, { groupId, topics });
			expect(answer.topics).toHaveLength(1);
			expect(pick(answer, "topics", 0).partitions).toHaveLength(3);
			expect(fetched(pick(answer, "topics", 0))).toEqual({ ...offsets, 0: offset, 1: offset });
		}
	});

	test.each([8, 10])("OffsetFetch v%i: groups in parts", async (version) => {
		const described = await used.ask("Metadata", 12, { topics: [{ name: "orders" }] });
		const topicId = pick(described, "topics", 0).topicId as string;
		const topics = parts(version >= 10 ? { topicId } : { name: "orders" });
		const groups = [...topics, ...topics].map((topic) => ({
			groupId: "committed",
			topics: [topic],
		}));
		const answer = await used.ask("OffsetFetch", version, { groups });
		expect(answer.groups).toMatchObject([{ groupId: "committed", errorCode: 0 }]);
		expect(pick(answer, "groups", 0).topics).toHaveLength(1);
		expect(pick(answer, "groups", 0, "topics", 0).partitions).toHaveLength(3);
		expect(fetched(pick(answer, "groups", 0, "topics", 0))).toEqual(offsets);
		// All of it, whatever else is said.
		const all = { groupId: "committed", topics: null };
		const whole = await used.ask("OffsetFetch", version, { groups: [...groups, all, all] });
		expect(whole.groups).toHaveLength(1);
		expect(fetched(pick(whole, "groups", 0, "topics", 0))).toEqual({ 0: 5, 1: 5 });
	});
});
